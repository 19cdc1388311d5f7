"""The moments of a schedule: every instant that its cron expression, interval or date names.

It reads no clock and decides nothing about jobs: it is asked for what comes after an instant, and
answers in order, without end. What local time leaves out or says twice, where the clocks of a zone
are changed, is told as a moment that does not count, so that nothing of it is silent.

A zone is walked piece by piece: between two changes its offset stands still, and there wall time is
plain counting. Each piece is exact by itself, so no rule about half an hour, or about a whole day
that a country left out, has to be known here. Where an expression names nothing for years, no clock
is looked at in between: whatever was changed there, neither left a moment out nor said one twice.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from cronsim import CronSim, CronSimError

from orchestrator.protocol.words import DstPolicy, FireReason

SECOND_US: Final = 1_000_000
_DAY_S: Final = 86_400
_LONGEST_GAP_S: Final = _DAY_S
"""Samoa left out a day; nobody has changed a clock by more."""
_APART_S: Final = 2 * _DAY_S
"""Two offsets differ by less: each is less than a day, as `datetime` demands of every zone."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Moment:
    """An instant of a schedule; one with a reason does not count."""

    at_us: int
    void: FireReason | None = None


@dataclass(frozen=True, slots=True)
class Cron:
    """The instants at which the clocks of a zone show what an expression says."""

    expression: str
    zone: tzinfo
    dst: DstPolicy = DstPolicy.ONCE

    @property
    def is_fixed(self) -> bool:
        """Tell whether it names hours: one for every hour goes on through a change of clocks."""
        return not self.expression.split()[-4].startswith("*")


@dataclass(frozen=True, slots=True)
class Interval:
    """Every so often, counted from an instant."""

    anchor_us: int
    period_us: int


@dataclass(frozen=True, slots=True)
class Once:
    """One instant."""

    at_us: int


@dataclass(frozen=True, slots=True)
class Timing:
    """A rhythm, and the instants between which it counts."""

    rhythm: Cron | Interval | Once
    start_us: int | None = None
    end_us: int | None = None


def moments(timing: Timing, *, after_us: int) -> Iterator[Moment]:
    """Yield what comes after an instant, in order; most schedules never end."""
    if timing.start_us is not None:
        after_us = max(after_us, timing.start_us - 1)
    for moment in _of(timing.rhythm, after_us):
        if timing.end_us is not None and moment.at_us > timing.end_us:
            return
        yield moment


def _of(rhythm: Cron | Interval | Once, after_us: int) -> Iterator[Moment]:
    match rhythm:
        case Cron():
            return _of_cron(rhythm, after_us // SECOND_US)
        case Interval():
            return _of_interval(rhythm, after_us)
        case Once():
            return iter((Moment(rhythm.at_us),) if rhythm.at_us > after_us else ())


def _of_interval(every: Interval, after_us: int) -> Iterator[Moment]:
    count = max(0, (after_us - every.anchor_us) // every.period_us + 1)
    while True:
        yield Moment(every.anchor_us + count * every.period_us)
        count += 1


def _of_cron(cron: Cron, after_s: int) -> Iterator[Moment]:
    wall = _Wall(UTC if cron.dst is DstPolicy.UTC else cron.zone)
    left_out = list(_gaps_before(cron, wall, after_s))
    begin_s: int | None = after_s + 1
    try:
        while begin_s is not None:
            change_s = None
            for at_s, change_s in _piece(cron, wall, begin_s):
                if change_s is None:
                    while left_out and left_out[0].at_us <= at_s * SECOND_US:
                        yield left_out.pop(0)
                    yield Moment(at_s * SECOND_US, _repeated(cron, wall, at_s))
            if change_s is not None:
                left_out += _gap(cron, wall, change_s)
            begin_s = change_s
    except OverflowError:
        return  # the calendar ends
    yield from left_out


def _piece(cron: Cron, wall: "_Wall", begin_s: int) -> Iterator[tuple[int, int | None]]:
    """Yield the instants from one on while the offset stays; at last, when it does not.

    Before a moment that is far away it ends as well, near enough to that one to be sure of what
    came between: there no offset makes a clock show what was named last, or is named next.
    """
    offset_s = wall.offset_s(begin_s)
    known_s, change_s = begin_s, None
    for local_s in _matches(cron.expression, begin_s + offset_s - 1):
        at_s = local_s - offset_s
        near_s = at_s - _APART_S
        is_far = near_s > known_s + _APART_S
        until_s = known_s + _APART_S if is_far else at_s
        while change_s is None and known_s < until_s:
            change_s = wall.first_change(known_s, known_s + _DAY_S)
            known_s += _DAY_S
        if change_s is None and is_far:
            change_s = near_s
        if change_s is not None and change_s <= at_s:
            yield at_s, change_s
            return
        yield at_s, None


def _matches(expression: str, after_local_s: int) -> Iterator[int]:
    """Yield the wall times behind one, as seconds, that an expression names.

    They are counted as if they were UTC, where no clock is ever changed.
    """
    for found in CronSim(expression, _EPOCH + timedelta(seconds=after_local_s)):
        since = found - _EPOCH
        yield since.days * _DAY_S + since.seconds


def _repeated(cron: Cron, wall: "_Wall", at_s: int) -> FireReason | None:
    """Tell whether wall time shows this for the second time, and the first counts for both."""
    once = cron.dst is DstPolicy.ONCE and cron.is_fixed
    return FireReason.DST_OVERLAP if once and wall.is_repeated(at_s) else None


def _gap(cron: Cron, wall: "_Wall", change_s: int) -> Iterator[Moment]:
    """Yield what wall time leaves out at a change, where it would have been."""
    before_s, behind_s = wall.offset_s(change_s - 1), wall.offset_s(change_s)
    if not cron.is_fixed or behind_s <= before_s:
        return
    for local_s in _matches(cron.expression, change_s + before_s - 1):
        if local_s >= change_s + behind_s:
            return
        yield Moment((local_s - before_s) * SECOND_US, FireReason.DST_GAP)


def _gaps_before(cron: Cron, wall: "_Wall", after_s: int) -> Iterator[Moment]:
    """Yield what was left out at a change shortly before, and would come only now."""
    change_s = wall.first_change(after_s - _LONGEST_GAP_S, after_s)
    if change_s is not None:
        yield from (one for one in _gap(cron, wall, change_s) if one.at_us > after_s * SECOND_US)


class _Wall:
    """The clocks on the walls of a zone."""

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone

    def _shown(self, at_s: int) -> datetime:
        return (_EPOCH + timedelta(seconds=at_s)).astimezone(self._zone)

    def offset_s(self, at_s: int) -> int:
        """Return how far wall time is ahead of UTC."""
        offset = self._shown(at_s).utcoffset()
        return 0 if offset is None else offset.days * _DAY_S + offset.seconds

    def is_repeated(self, at_s: int) -> bool:
        """Tell whether wall time has shown this before, because it was put back."""
        return self._shown(at_s).fold == 1

    def first_change(self, after_s: int, until_s: int) -> int | None:
        """Return the first instant behind one whose offset differs, up to another a day later."""
        offset_s = self.offset_s(after_s)
        if self._zone is UTC or self.offset_s(until_s) == offset_s:
            return None
        return self._found(after_s, until_s, offset_s)

    def _found(self, same_s: int, other_s: int, offset_s: int) -> int:
        while other_s - same_s > 1:
            middle_s = (same_s + other_s) // 2
            if self.offset_s(middle_s) == offset_s:
                same_s = middle_s
            else:
                other_s = middle_s
        return other_s


_FIELDS: Final = {
    "second": "0 to 59",
    "minute": "0 to 59",
    "hour": "0 to 23",
    "day-of-month": "1 to 31 or L for the last day",
    "month": "1 to 12 or JAN to DEC",
    "day-of-week": "0 to 7 or SUN to SAT",
}
_CHARS: Final = 200
"""Room for every minute of an hour spelt out; more is an attack on whoever parses it."""


def fault_of_cron(expression: str) -> str | None:
    """Return what is wrong with an expression, in words for who wrote it."""
    if len(expression) > _CHARS:
        return f"it has {len(expression)} characters; at most {_CHARS} are read"
    parts = expression.split()
    if len(parts) not in {5, 6}:
        return (
            f"{expression!r} has {len(parts)} fields; write five (minute hour day month weekday), "
            "or six with seconds first, for example 30 2 * * MON-FRI"
        )
    try:
        found = CronSim(expression, _EPOCH.replace(year=2000))
        if next(found, None) is None:
            return _never(expression)
    except CronSimError as error:
        name = str(error).removeprefix("Bad ")
        if name == "day-of-month" and _is_read(" ".join([*parts[:-2], "*", parts[-1]])):
            return _never(expression)  # it is a day of some month, and of none of these
        return f"{expression!r}: its {name} is not understood; it takes {_FIELDS.get(name, '')}"
    return None


def _is_read(expression: str) -> bool:
    try:
        CronSim(expression, _EPOCH)
    except CronSimError:
        return False
    return True


def _never(expression: str) -> str:
    return f"{expression!r} names a day that never comes: look at its day, month and weekday"
