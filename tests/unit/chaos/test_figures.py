"""The figures count what happened, and only what landed."""

from tests.chaos.figures import figures, percentile, text
from tests.chaos.records import Blow
from tests.unit.chaos.forgery import BEGIN, Forger


def _forged(*blows: Blow, host: str = "host-0") -> str:
    forger = Forger()
    forger.job(0)
    forger.blows.extend(blows)
    run = forger.run()
    run.remains["where"] = {f"{run.seen[0].job['id']} 1": host}
    return text(figures(run))


def _kill(second: float, target: str, host: str) -> Blow:
    """Return a kill; the attempt is claimed in second 4, starts in 5, ends in 7."""
    return Blow(BEGIN.timestamp() + second, "kill", target, host, 7)


def test_a_kill_on_the_machine_that_held_it_landed() -> None:
    """A kill counts as landed when its machine held an attempt, and in the window before start."""
    told = _forged(_kill(4.5, "worker", "host-0"), _kill(6, "launcher", "host-0"))

    assert "leased     2: 1 launcher, 1 worker" in told
    assert "1 kills fell between a grant and its start" in told


def test_a_kill_elsewhere_or_later_did_not_land() -> None:
    """A kill on another machine, or after the end, is counted and did not land."""
    told = _forged(_kill(6, "worker", "host-1"), _kill(90, "worker", "host-0"))

    assert "kills      2: 2 worker" in told
    assert "leased     0: none" in told


def test_a_kill_of_the_server_lands_everywhere() -> None:
    """The server holds every attempt."""
    assert "leased     1: 1 server" in _forged(_kill(6, "server", ""))


def test_percentiles() -> None:
    """The share of values that do not exceed a percentile is at least what was asked for."""
    values = [float(number) for number in range(1, 101)]

    assert percentile(values, 0.99) == 99
    assert percentile(values, 0.5) == 50
    assert percentile([], 0.5) == 0
