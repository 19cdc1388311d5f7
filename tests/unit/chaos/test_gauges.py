"""The gauges find what grows, and nothing else."""

from tests.chaos.gauges import LONG_S, Sample, gauges, slope


def _samples(seconds: float, *, rss_mib_h: float = 0.0, fds: float = 0.0) -> list[Sample]:
    """Return a look every hundredth of the time, at something that grows from 50 MiB and 20."""
    looks = [seconds * number / 100 for number in range(101)]
    return [Sample(at, "server", 50 + rss_mib_h * at / 3600, 20 + int(fds * at)) for at in looks]


def _complaints(samples: list[Sample]) -> list[str]:
    return [complaint for gauge in gauges(samples) for complaint in gauge.complaints()]


def test_what_does_not_grow_is_not_complained_of() -> None:
    """A program that uses the same all the time is fine, for a minute and for a day."""
    assert _complaints(_samples(60)) == []
    assert _complaints(_samples(24 * 3600)) == []


def test_what_grows_at_its_start_is_not_complained_of() -> None:
    """What a program takes while it warms up is not counted."""
    samples = [Sample(float(at), "server", min(10.0 * at, 300), 20) for at in range(100)]

    assert _complaints(samples) == []


def test_descriptors_that_are_not_closed_are_found() -> None:
    """A descriptor a second is found in minutes."""
    assert "descriptors" in _complaints(_samples(300, fds=1.0))[0]


def test_a_fast_leak_is_found_in_minutes_and_a_slow_one_in_hours() -> None:
    """Memory that is not given back is found, the sooner the faster it goes."""
    assert "MiB became" in _complaints(_samples(300, rss_mib_h=1_000))[0]
    assert "an hour" in _complaints(_samples(2 * LONG_S, rss_mib_h=1.5))[0]
    assert _complaints(_samples(300, rss_mib_h=1.5)) == []


def test_a_slope_is_that_of_the_line() -> None:
    """Points on a line give its slope; a single moment gives none."""
    assert slope([(0, 1), (1, 3), (2, 5)]) == 2
    assert slope([(1, 3)]) == 0
