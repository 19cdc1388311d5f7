"""The moments of schedules, above all where clocks are changed."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.core import moments as subject
from orchestrator.core.moments import (
    Cron,
    Interval,
    Moment,
    Once,
    Timing,
    fault_of_cron,
    moments,
)
from orchestrator.protocol.base import microseconds, moment
from orchestrator.protocol.words import DstPolicy, FireReason

STRICT, ONCE, IN_UTC = DstPolicy.STRICT, DstPolicy.ONCE, DstPolicy.UTC
GAP, AGAIN = FireReason.DST_GAP, FireReason.DST_OVERLAP
DAYS = 3


def told(cron: Cron, begin: str, days: float = DAYS) -> list[tuple[str, FireReason | None]]:
    """Return wall time and offset of every moment within some days of UTC."""
    begin_us = microseconds(datetime.fromisoformat(f"{begin}T00:00:00Z"))
    end_us = begin_us + round(days * 86_400e6)
    found = takewhile(lambda one: one.at_us < end_us, moments(Timing(cron), after_us=begin_us - 1))
    zone = UTC if cron.dst is IN_UTC else cron.zone
    return [(f"{moment(one.at_us).astimezone(zone):%d %H:%M %z}", one.void) for one in found]


@pytest.mark.parametrize(
    ("expression", "zone", "dst", "begin", "expected"),
    [
        # Forward, at 02:00: 02:30 is left out, and 03:30 is not moved.
        (
            "30 2,3 * * *",
            "Europe/Berlin",
            ONCE,
            "2027-03-28",
            [("28 03:30 +0200", GAP), ("28 03:30 +0200", None), ("29 02:30 +0200", None)],
        ),
        ("30 2 * * *", "Europe/Berlin", STRICT, "2027-03-28", [("28 03:30 +0200", GAP)]),
        ("30 2 * * *", "Europe/Berlin", IN_UTC, "2027-03-28", [("28 02:30 +0000", None)]),
        # The change itself is a moment.
        ("0 3 * * *", "Europe/Berlin", ONCE, "2027-03-28", [("28 03:00 +0200", None)]),
        ("0 2 * * *", "Europe/Berlin", ONCE, "2027-03-28", [("28 03:00 +0200", GAP)]),
        # Every hour goes on, and leaves nothing out that was ever shown.
        (
            "30 * * * *",
            "Europe/Berlin",
            ONCE,
            "2027-03-28",
            [("28 01:30 +0100", None), ("28 03:30 +0200", None), ("28 04:30 +0200", None)],
        ),
        # Back, at 03:00: 02:30 is shown twice.
        (
            "30 2 * * *",
            "Europe/Berlin",
            ONCE,
            "2027-10-31",
            [("31 02:30 +0200", None), ("31 02:30 +0100", AGAIN), ("01 02:30 +0100", None)],
        ),
        (
            "30 2 * * *",
            "Europe/Berlin",
            STRICT,
            "2027-10-31",
            [("31 02:30 +0200", None), ("31 02:30 +0100", None), ("01 02:30 +0100", None)],
        ),
        (
            "30 * * * *",
            "Europe/Berlin",
            ONCE,
            "2027-10-31",
            [("31 02:30 +0200", None), ("31 02:30 +0100", None), ("31 03:30 +0100", None)],
        ),
        (
            "30 1 * * *",
            "America/New_York",
            ONCE,
            "2027-11-07",
            [("07 01:30 -0400", None), ("07 01:30 -0500", AGAIN), ("08 01:30 -0500", None)],
        ),
        (
            "30 2 * * *",
            "America/New_York",
            ONCE,
            "2027-03-14",
            [("14 03:30 -0400", GAP), ("15 02:30 -0400", None)],
        ),
        # Half an hour only: 02:00 becomes 02:30.
        (
            "15,45 2 * * *",
            "Australia/Lord_Howe",
            ONCE,
            "2027-10-02",
            [("03 02:45 +1100", GAP), ("03 02:45 +1100", None), ("04 02:15 +1100", None)],
        ),
        (
            "45 1 * * *",
            "Australia/Lord_Howe",
            ONCE,
            "2027-04-03",
            [("04 01:45 +1100", None), ("04 01:45 +1030", AGAIN), ("05 01:45 +1030", None)],
        ),
        # Samoa had no 30 December 2011.
        (
            "0 10 * * *",
            "Pacific/Apia",
            ONCE,
            "2011-12-29",
            [("29 10:00 -1000", None), ("31 10:00 +1400", GAP), ("31 10:00 +1400", None)],
        ),
    ],
)
def test_changes_of_clocks(
    expression: str,
    zone: str,
    dst: DstPolicy,
    begin: str,
    expected: list[tuple[str, FireReason | None]],
) -> None:
    """What wall time leaves out is told and does not fire; what it shows twice fires as said."""
    found = told(Cron(expression, ZoneInfo(zone), dst), begin)

    assert found[: len(expected)] == expected


def test_a_moment_that_was_left_out_is_told_also_to_who_looks_late() -> None:
    """Who asks between the change and the moment that would have been is told of it."""
    cron = Cron("45 2 * * *", ZoneInfo("Europe/Berlin"))
    begin = microseconds(datetime(2027, 3, 28, 1, 10, tzinfo=UTC))

    first = next(moments(Timing(cron), after_us=begin))

    assert first == Moment(microseconds(datetime(2027, 3, 28, 1, 45, tzinfo=UTC)), GAP)


def test_what_is_left_out_is_left_out_of_no_frequency() -> None:
    """An expression for every minute has no moment that it misses: there was no such minute."""
    cron = Cron("*/15 * * * *", ZoneInfo("Europe/Berlin"))

    found = told(cron, "2027-03-28", days=1)

    assert len(found) == 96
    assert {void for _, void in found} == {None}


ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "UTC")
MINUTES = st.sampled_from(("0", "30", "15,45", "*/20", "59"))
HOURS = st.sampled_from(("*", "1", "2", "2,3", "0-4", "*/6", "23"))
DAY = st.sampled_from(("*", "1", "28-31", "L"))
WEEKDAY = st.sampled_from(("*", "SUN", "MON-FRI", "SUN#1"))


CHANGES = ("2027-03-13", "2027-03-27", "2027-04-03", "2027-10-02", "2027-10-30", "2027-11-06")


@settings(max_examples=60, deadline=None)
@given(
    expression=st.tuples(MINUTES, HOURS, DAY, st.just("*"), WEEKDAY).map(" ".join),
    zone=st.sampled_from(ZONES).map(ZoneInfo),
    dst=st.sampled_from((ONCE, STRICT)),
    begin=st.sampled_from(CHANGES),
    later=st.integers(0, 36 * 60),
)
def test_it_is_what_looking_at_every_minute_would_find(
    expression: str, zone: ZoneInfo, dst: DstPolicy, begin: str, later: int
) -> None:
    """Around changes of clocks, those minutes fire at which clocks show the time, and no others."""
    cron = Cron(expression, zone, dst)
    begin_us = microseconds(datetime.fromisoformat(f"{begin}T00:00Z")) + later * 60_000_000
    end_us = begin_us + 2 * 86_400_000_000

    found = takewhile(lambda one: one.at_us < end_us, moments(Timing(cron), after_us=begin_us))

    fires = [one.at_us for one in found if one.void is None]
    assert fires == list(_minute_by_minute(cron, begin_us + 60_000_000, end_us))


def _minute_by_minute(cron: Cron, begin_us: int, end_us: int) -> Iterator[int]:
    parsed = CronSim(cron.expression, datetime(2000, 1, 1, tzinfo=UTC))
    for at_us in range(begin_us, end_us, 60_000_000):
        local = moment(at_us).astimezone(cron.zone)
        if local.fold and cron.dst is ONCE and cron.is_fixed:
            continue
        is_time = local.minute in parsed.minutes and local.hour in parsed.hours
        if is_time and parsed.match_day(local.date()):
            yield at_us


FAR_ZONES = (*ZONES, "Pacific/Apia", "Africa/El_Aaiun", "Antarctica/Troll", "Pacific/Kwajalein")
RARE = st.sampled_from(
    (
        "29 2 *",
        "31 10 *",
        "30 12 *",
        "21 8 *",
        "L 3 *",
        "* 3 SUN#5",
        "1 1 *",
        "* 10 SUN#5",
        "29 2 MON",
    )
)


@pytest.mark.timeout(120)  # the slow way is slow
@settings(max_examples=15, deadline=None)
@given(
    expression=st.tuples(MINUTES, st.sampled_from(("0", "2", "2,3", "10", "23", "*")), RARE),
    zone=st.sampled_from(FAR_ZONES).map(ZoneInfo),
    dst=st.sampled_from((ONCE, STRICT)),
    after_s=st.integers(315_532_800, 2_840_140_800),  # 1980 to 2060
)
def test_looking_at_every_day_between_would_find_the_same(
    expression: tuple[str, str, str], zone: ZoneInfo, dst: DstPolicy, after_s: int
) -> None:
    """No clock is looked at for years, and nothing of what it showed is missed."""
    timing = Timing(Cron(" ".join(expression), zone, dst))

    def first() -> list[Moment]:
        return list(islice(moments(timing, after_us=after_s * 1_000_000), 4))

    quick = first()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subject, "_APART_S", 10**12)  # nothing is as far away as that
        slow = first()

    assert quick == slow


class Looked(tzinfo):
    """A zone that counts how often somebody looks at its clocks."""

    def __init__(self, key: str) -> None:
        self.looks = 0
        self._zone = ZoneInfo(key)

    def fromutc(self, dt: datetime) -> datetime:
        """Return what the clocks show."""
        self.looks += 1
        return self._zone.fromutc(dt.replace(tzinfo=self._zone)).replace(tzinfo=self)

    def utcoffset(self, dt: datetime | None) -> timedelta | None:
        """Return how far they are ahead of UTC."""
        return None if dt is None else dt.replace(tzinfo=self._zone).utcoffset()

    def dst(self, dt: datetime | None) -> timedelta | None:
        """Return how much of that is for the summer."""
        return None if dt is None else dt.replace(tzinfo=self._zone).dst()

    def tzname(self, dt: datetime | None) -> str | None:
        """Return what the time is called."""
        return None if dt is None else dt.replace(tzinfo=self._zone).tzname()


@pytest.mark.parametrize("expression", ["0 0 1 1 *", "0 0 29 2 *"])
def test_no_clock_is_looked_at_in_years_without_a_moment(expression: str) -> None:
    """The next moment costs the same, be it a year away or four."""
    zone = Looked("Europe/Berlin")

    found = list(islice(moments(Timing(Cron(expression, zone)), after_us=0), 4))

    assert len(found) == 4
    assert zone.looks < 200


@given(
    period=st.integers(1, 10**10), anchor=st.integers(0, 10**12), after=st.integers(0, 2 * 10**12)
)
def test_intervals_count_from_their_anchor(period: int, anchor: int, after: int) -> None:
    """They come strictly behind where one asks, and none before the anchor."""
    first, second = islice(moments(Timing(Interval(anchor, period)), after_us=after), 2)

    assert first.at_us > after or first.at_us == anchor
    assert first.at_us >= anchor
    assert (first.at_us - anchor) % period == 0
    assert first.at_us - period <= max(after, anchor - 1)
    assert second.at_us == first.at_us + period


def test_one_instant_comes_once() -> None:
    """It comes if it lies ahead, and never again."""
    assert list(moments(Timing(Once(5)), after_us=4)) == [Moment(5)]
    assert list(moments(Timing(Once(5)), after_us=5)) == []


def test_nothing_comes_outside_of_its_time() -> None:
    """A start and an end are part of what they bound."""
    timing = Timing(Interval(0, 10), start_us=20, end_us=40)

    assert [one.at_us for one in moments(timing, after_us=0)] == [20, 30, 40]


def test_the_end_of_the_calendar_is_the_end() -> None:
    """A clock that shows the last year of all ends a schedule, and not the program."""
    late = microseconds(datetime(9999, 12, 30, tzinfo=UTC))

    found = list(moments(Timing(Cron("0 0 * * *", ZoneInfo("Europe/Berlin"))), after_us=late))

    assert len(found) <= 2


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("0 0 31 2 *", "names a day that never comes"),
        ("0 0 31 4,6 *", "names a day that never comes"),
        ("0 0 */30 2 MON#3", "names a day that never comes"),
        ("61 * * * *", "its minute is not understood; it takes 0 to 59"),
        ("*/0 * * * *", "its minute is not understood"),
        ("0 24 * * *", "its hour is not understood"),
        ("0 0 0 1 *", "its day-of-month is not understood"),
        ("0 0 * FOO *", "its month is not understood"),
        ("0 0 * * 8", "its day-of-week is not understood"),
        ("99 0 0 * * *", "its second is not understood"),
        ("* * *", "has 3 fields; write five"),
        ("@daily", "has 1 fields"),
        ("", "has 0 fields"),
        ("9" * 5000 + " * * * *", "at most 200 are read"),
        ("0 0 29 2 *", None),
        ("0 0 * 2 MON#5", None),
        ("*/10 * * * * *", None),
        ("30 2 * jan,MAR mon-fri", None),
    ],
)
def test_a_wrong_expression_is_told_what_is_wrong(expression: str, said: str | None) -> None:
    """What cannot be read, and what never comes, is refused in words; the rest is not."""
    fault = fault_of_cron(expression)

    assert fault is None if said is None else fault is not None and said in fault


def test_a_day_that_seldom_comes_is_found_at_once() -> None:
    """Eight years without a 29 February are no reason to look for long."""
    cron = Cron("0 0 29 2 *", ZoneInfo("Europe/Berlin"))
    begin = datetime(2096, 3, 1, tzinfo=UTC)

    first = next(moments(Timing(cron), after_us=microseconds(begin)))

    assert moment(first.at_us) == datetime(2104, 2, 28, 23, tzinfo=UTC)
    assert moment(first.at_us) - begin > timedelta(days=7 * 365)
