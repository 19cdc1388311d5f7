"""What a schedule decides when somebody looks: late, early, never, or after a clock jumped."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.moments import SECOND_US, Interval, Once, Timing
from orchestrator.core.schedule import (
    COUNTED,
    LISTED,
    ON_TIME_US,
    Entry,
    Look,
    Rule,
    fault_of,
    in_the_way,
    look,
)
from orchestrator.protocol.words import FireReason, JobState, Misfire, Overlap

MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US
HOURLY = Rule("schedule_x", Timing(Interval(0, HOUR_US)))
LATE = FireReason.LATE


def fires(found: Look) -> list[int]:
    """Return the hours of those that fire."""
    return [entry.at_us // HOUR_US for entry in found.entries if entry.reason is None]


def test_a_moment_fires_when_it_has_come_and_not_before() -> None:
    """A look before changes nothing; one at the moment fires it; the next one does not."""
    before = look(HOURLY, considered_us=0, now_us=HOUR_US - 1)
    at = look(HOURLY, considered_us=before.considered_us, now_us=HOUR_US)
    after = look(HOURLY, considered_us=at.considered_us, now_us=HOUR_US + 1)

    assert before == Look((), HOUR_US - 1, HOUR_US, HOUR_US)
    assert at == Look((Entry(HOUR_US),), HOUR_US, 2 * HOUR_US, 2 * HOUR_US)
    assert after.entries == ()


@pytest.mark.parametrize(
    ("misfire", "most", "expected"),
    [
        (Misfire.SKIP, 1, []),
        (Misfire.LATEST, 1, [5]),
        (Misfire.ALL, 3, [3, 4, 5]),
        (Misfire.ALL, 50, [1, 2, 3, 4, 5]),
    ],
)
def test_downtime(misfire: Misfire, most: int, expected: list[int]) -> None:
    """As many of the newest as was said fire late; each of the others is told as missed."""
    rule = replace(HOURLY, misfire=misfire, misfire_max=most)

    found = look(rule, considered_us=0, now_us=5 * HOUR_US + 2 * ON_TIME_US)

    assert fires(found) == expected
    missed = [e.at_us // HOUR_US for e in found.entries if e.reason is LATE]
    assert missed == [hour for hour in range(1, 6) if hour not in expected]
    assert found.next_us == 6 * HOUR_US


def test_a_short_delay_is_none() -> None:
    """What is a minute late has been missed by nobody."""
    rule = replace(HOURLY, misfire=Misfire.SKIP)

    assert fires(look(rule, considered_us=0, now_us=HOUR_US + ON_TIME_US)) == [1]
    assert fires(look(rule, considered_us=0, now_us=HOUR_US + ON_TIME_US + 1)) == []


@pytest.mark.parametrize("years", [1, 30])
def test_a_long_downtime_is_one_line(years: int) -> None:
    """Nobody lists, or even counts, what a server missed in years; the latest fires."""
    rule = replace(HOURLY, timing=Timing(Interval(0, 5 * SECOND_US)))
    now = years * 365 * 24 * HOUR_US

    found = look(rule, considered_us=0, now_us=now)

    line, *rest = found.entries
    assert (line.at_us, line.reason, line.count) == (5 * SECOND_US, LATE, None)
    assert line.through_us is not None
    assert line.through_us < rest[0].at_us
    assert rest[-1] == Entry(now)
    assert len(rest) <= COUNTED


def test_a_downtime_of_a_day_is_counted() -> None:
    """Between what is listed and what is not counted, one line says how many and up to when."""
    rule = replace(HOURLY, timing=Timing(Interval(0, MINUTE_US)), misfire=Misfire.SKIP)
    now = (LISTED + 50) * MINUTE_US + MINUTE_US // 2

    (line, *rest) = look(rule, considered_us=0, now_us=now).entries

    assert (line.at_us, line.count) == (MINUTE_US, LISTED + 49)
    assert line.through_us == (LISTED + 49) * MINUTE_US
    assert rest == [Entry((LISTED + 50) * MINUTE_US)]


def test_a_clock_that_was_set_back_does_not_stop_a_schedule() -> None:
    """It goes on from now: what has had its turn is known to whoever keeps the moments."""
    found = look(HOURLY, considered_us=1000 * HOUR_US, now_us=3 * HOUR_US + 1)

    assert found == Look((), 3 * HOUR_US + 1, 4 * HOUR_US, 4 * HOUR_US)


def test_what_is_prevented_is_told() -> None:
    """Of a pause, everything is told, and nothing fires afterwards."""
    found = look(HOURLY, considered_us=0, now_us=2 * HOUR_US, instead=FireReason.PAUSED)

    paused = FireReason.PAUSED
    assert found.entries == (Entry(HOUR_US, paused), Entry(2 * HOUR_US, paused))
    assert look(HOURLY, considered_us=found.considered_us, now_us=2 * HOUR_US).entries == ()


@given(
    steps=st.lists(st.integers(-2 * HOUR_US, 3 * HOUR_US), min_size=1, max_size=30),
    jitter=st.integers(0, HOUR_US),
    misfire=st.sampled_from(Misfire),
)
def test_no_moment_is_decided_twice_or_lost(
    steps: list[int], jitter: int, misfire: Misfire
) -> None:
    """However the clock goes, what it has passed is decided, and once by whoever keeps it."""
    rule = replace(HOURLY, jitter_us=jitter, misfire=misfire, misfire_max=3)
    now = considered = latest = 100 * HOUR_US
    decided: dict[int, FireReason | None] = {}
    for step in steps:
        now = max(now + step, HOUR_US)
        found = look(rule, considered_us=considered, now_us=now)
        for entry in found.entries:
            if decided.setdefault(entry.at_us, entry.reason) is LATE:
                decided[entry.at_us] = entry.reason
        assert found.considered_us <= now
        assert found.due_us is not None
        assert found.due_us > now
        considered, latest = found.considered_us, max(latest, now)

    begun = range(101 * HOUR_US, latest - jitter + 1, HOUR_US)
    assert set(begun) <= set(decided)


def test_jitter_is_a_share_that_never_changes() -> None:
    """A moment has its own delay, below what was said and before the next moment."""
    rule = replace(HOURLY, jitter_us=10 * MINUTE_US)
    dues = {look(rule, considered_us=0, now_us=hour * HOUR_US - 1).due_us for hour in range(1, 50)}
    shares = {(due or 0) % HOUR_US for due in dues}

    assert len(shares) == len(dues) > 40
    assert max(shares) < 10 * MINUTE_US
    waiting = look(rule, considered_us=0, now_us=HOUR_US)
    assert waiting.entries == ()
    again = look(rule, considered_us=waiting.considered_us, now_us=waiting.due_us or 0)
    assert again.entries == (Entry(HOUR_US),)


@pytest.mark.parametrize(
    ("timing", "jitter_us", "field"),
    [
        (Timing(Interval(0, SECOND_US)), 0, "every_s"),
        (Timing(Once(5)), 0, "at"),
        (Timing(Interval(0, HOUR_US), end_us=9), 0, "every_s"),
        (Timing(Interval(0, MINUTE_US)), MINUTE_US + 1, "jitter_s"),
        (Timing(Interval(0, MINUTE_US)), MINUTE_US, None),
        (Timing(Once(50)), HOUR_US, None),
    ],
)
def test_what_nobody_may_have(timing: Timing, jitter_us: int, field: str | None) -> None:
    """A flood, a schedule that is over, and a delay beyond the next moment are refused."""
    fault = fault_of(Rule("x", timing, jitter_us=jitter_us), now_us=10)

    assert (fault and fault[0]) == field


RUNNING, WAITING = ("job_1", JobState.RUNNING), ("job_2", JobState.QUEUED)


@pytest.mark.parametrize(
    ("overlap", "still", "blocking"),
    [
        (Overlap.SKIP, [], None),
        (Overlap.SKIP, [RUNNING, WAITING], WAITING),
        (Overlap.QUEUE_ONE, [RUNNING], None),
        (Overlap.QUEUE_ONE, [WAITING, RUNNING], WAITING),
        (Overlap.ALLOW, [RUNNING, WAITING], None),
        (Overlap.CANCEL_RUNNING, [RUNNING, WAITING], None),
    ],
)
def test_the_overlap_says_which_job_is_in_the_way(
    overlap: Overlap,
    still: list[tuple[str, JobState]],
    blocking: tuple[str, JobState] | None,
) -> None:
    """Any that is not over, one that waits, or none: and the newest is named."""
    assert in_the_way(overlap, still) == blocking
