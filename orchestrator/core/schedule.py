"""What a schedule does when somebody looks at it: which moments fire, which are passed over.

Pure: the rule, the last instant that was considered, and now are arguments; what comes out is the
same whoever asks, and however often. A schedule remembers one instant, up to which everything is
decided. So a server that was away, killed, or whose clock was set decides the rest when it is back,
and nothing twice.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, pairwise, takewhile
from typing import Final

from orchestrator.core.job_lifecycle import PENDING
from orchestrator.core.moments import (
    SECOND_US,
    Cron,
    Interval,
    Moment,
    Once,
    Timing,
    fault_of_cron,
    moments,
)
from orchestrator.protocol.words import FireReason, JobState, Misfire, Overlap

ON_TIME_US: Final = 60 * SECOND_US
"""A moment fires without further ado up to a minute late: a restart takes less."""
CLOSEST_US: Final = 5 * SECOND_US
"""Between two moments. Whoever needs a job more often needs one that goes on."""
LISTED: Final = 100
"""Moments that nobody was there for and that are told one by one; more are one line."""
COUNTED: Final = 1000
"""More are not even counted: after a year away there may be millions of them."""
_SAMPLE: Final = 100
"""Moments that tell how close to each other they are."""
_SAMPLE_US: Final = 9 * 366 * 24 * 3600 * SECOND_US
"""And how much time they lie in: in so many years there is a 29 February, whatever the century."""


@dataclass(frozen=True, slots=True)
class Rule:
    """When a schedule fires, and what is done about moments that passed without it."""

    key: str
    timing: Timing
    misfire: Misfire = Misfire.LATEST
    misfire_max: int = 1
    jitter_us: int = 0

    @property
    def made_up(self) -> int:
        """Return how many of the moments that passed may still fire: the newest."""
        match self.misfire:
            case Misfire.SKIP:
                return 0
            case Misfire.LATEST:
                return 1
            case Misfire.ALL:
                return self.misfire_max


@dataclass(frozen=True, slots=True)
class Entry:
    """What is decided about a moment, or about many in a row up to `through_us`.

    Without a reason it fires. `count` is `None` for more than anybody counts.
    """

    at_us: int
    reason: FireReason | None = None
    through_us: int | None = None
    count: int | None = 1


@dataclass(frozen=True, slots=True)
class Look:
    """What is decided now, up to which instant, what comes next, and when to look again."""

    entries: tuple[Entry, ...]
    considered_us: int
    next_us: int | None
    due_us: int | None


def look(rule: Rule, *, considered_us: int, now_us: int, instead: FireReason | None = None) -> Look:
    """Decide about everything between the instant that was considered last and now.

    With `instead`, nothing of it fires, for that reason. A clock that was set back lets a schedule
    go on from now: what was decided about the time between is kept by whoever applies this.
    """
    until_us = now_us
    found, first_us = _passed(rule, min(considered_us, now_us), now_us)
    if found and instead is None:
        behind = next(moments(rule.timing, after_us=found[-1].at_us), None)
        if _planned(rule, found[-1], behind) > now_us:
            until_us = found.pop().at_us - 1
    entries = _decided(rule, found, now_us, first_us)
    following = _next(rule, until_us)
    return Look(
        entries=tuple(entries if instead is None else _prevented(entries, instead)),
        considered_us=until_us,
        next_us=None if following is None else following[0],
        due_us=None if following is None else following[1],
    )


def _prevented(entries: Iterable[Entry], reason: FireReason) -> Iterator[Entry]:
    """Let nothing fire; what local time has left out stays what it is."""
    for entry in entries:
        own = entry.reason in {FireReason.DST_GAP, FireReason.DST_OVERLAP}
        yield entry if own else replace(entry, reason=reason)


def _next(rule: Rule, after_us: int) -> tuple[int, int] | None:
    """Return the next moment that counts, and when to look: sooner, if one before it does not."""
    due_us: int | None = None
    for moment, behind in _with_next(rule, after_us):
        planned_us = _planned(rule, moment, behind)
        due_us = planned_us if due_us is None else due_us
        if moment.void is None:
            return moment.at_us, due_us
    return None


def _with_next(rule: Rule, after_us: int) -> Iterator[tuple[Moment, Moment | None]]:
    """Yield each moment together with the one behind it."""
    last: Moment | None = None
    for moment in moments(rule.timing, after_us=after_us):
        if last is not None:
            yield last, moment
        last = moment
    if last is not None:
        yield last, None


def _planned(rule: Rule, moment: Moment, behind: Moment | None) -> int:
    """Return when a moment is to fire: later by its own share of the jitter, before the next one.

    The share looks drawn and is always the same, so nobody has to remember it.
    """
    if moment.void is not None:
        return moment.at_us
    room_us = rule.jitter_us
    if behind is not None:
        room_us = min(room_us, behind.at_us - moment.at_us)
    digest = hashlib.sha256(f"{rule.key} {moment.at_us}".encode()).digest()
    return moment.at_us + room_us * int.from_bytes(digest[:6], "big") // 2**48


def _passed(rule: Rule, since_us: int, now_us: int) -> tuple[list[Moment], int | None]:
    """Return the moments of a time, and the first of all if these are only the newest."""
    found = _within(rule, since_us, now_us)
    if len(found) <= COUNTED:
        return found, None
    return _newest(rule, since_us, now_us), found[0].at_us


def _within(rule: Rule, since_us: int, now_us: int) -> list[Moment]:
    """Return the moments of a time, or the first of them if they are more than are counted."""
    some = islice(moments(rule.timing, after_us=since_us), COUNTED + 1)
    return list(takewhile(lambda moment: moment.at_us <= now_us, some))


def _newest(rule: Rule, since_us: int, now_us: int) -> list[Moment]:
    """Return enough of the newest moments of a time that has more than are counted."""
    many_us, few_us = since_us, now_us
    while True:
        middle_us = (many_us + few_us) // 2
        found = _within(rule, middle_us, now_us)
        if len(found) > COUNTED:
            many_us = middle_us
        elif len(found) < LISTED:
            few_us = middle_us
        else:
            return found


def _decided(
    rule: Rule, found: Sequence[Moment], now_us: int, first_us: int | None
) -> Iterator[Entry]:
    """Decide about moments, in order; `first_us` is the first of many before them."""
    counting = [moment.at_us for moment in found if moment.void is None]
    newest = counting[max(0, len(counting) - rule.made_up) :]
    in_time_us = now_us - ON_TIME_US - rule.jitter_us
    fire_from_us = min(
        [*newest, *(at_us for at_us in counting if at_us >= in_time_us)], default=None
    )
    late = [at_us for at_us in counting if fire_from_us is None or at_us < fire_from_us]
    if first_us is not None or len(late) > LISTED:
        count = len(late) if first_us is None else None
        last_us = late[-1] if late else found[0].at_us - 1
        yield Entry(late[0] if first_us is None else first_us, FireReason.LATE, last_us, count)
        found = [moment for moment in found if moment.at_us > last_us]
    for moment in found:
        is_late = fire_from_us is None or moment.at_us < fire_from_us
        yield Entry(moment.at_us, moment.void or (FireReason.LATE if is_late else None))


def _sample(timing: Timing, now_us: int) -> list[int]:
    """Return some of the next moments: at least one, if there is any."""
    found: list[int] = []
    for moment in islice(moments(timing, after_us=now_us), _SAMPLE):
        if found and moment.at_us > found[0] + _SAMPLE_US:
            break
        found.append(moment.at_us)
    return found


def in_the_way(
    overlap: Overlap, still: Sequence[tuple[str, JobState]]
) -> tuple[str, JobState] | None:
    """Return which of a schedule's jobs that are not over keeps a moment from having one."""
    match overlap:
        case Overlap.SKIP:
            return still[-1] if still else None
        case Overlap.QUEUE_ONE:
            return next((one for one in reversed(still) if one[1] in PENDING), None)
        case Overlap.ALLOW | Overlap.CANCEL_RUNNING:
            return None


def fault_of(rule: Rule, *, now_us: int) -> tuple[str, str] | None:
    """Return why nobody may have a schedule like this: the field, and words for who asks."""
    timing = rule.timing
    field = {Cron: "cron", Interval: "every_s", Once: "at"}[type(timing.rhythm)]
    if isinstance(timing.rhythm, Cron):
        fault = fault_of_cron(timing.rhythm.expression)
        if fault is not None:
            return field, fault
    coming = _sample(timing, now_us)
    if not coming:
        return field, "it never comes: the last moment that it has lies in the past"
    closest_us = min((b - a for a, b in pairwise(coming) if a < b), default=rule.jitter_us)
    if closest_us < CLOSEST_US and len(coming) > 1:
        least_s = CLOSEST_US // SECOND_US
        return field, f"it would fire more often than every {least_s} s, the most that is allowed"
    if rule.jitter_us > closest_us:
        return "jitter_s", "it must not be longer than the time between two moments"
    return None
