"""A schedule in the words of people: when it fires, and what happens where clocks are changed.

It computes no moments; it is given them, and the zone in which somebody reads them.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from cronsim import CronSim

from orchestrator.core.moments import SECOND_US, Moment
from orchestrator.protocol.base import moment
from orchestrator.protocol.schedules import ComingFire, ScheduleSpec
from orchestrator.protocol.words import DstPolicy, FireReason

_WEEKDAYS: Final = re.compile(r"(.+) on Monday through Friday")
_DAILY: Final = re.compile(r"at (.+) every day")
_BEHIND_A_GAP_US: Final = 86_401 * SECOND_US
"""No country has left out more than a day: before that, the old time was in force."""
_UNITS: Final = ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


def in_words(spec: ScheduleSpec) -> str:
    """Return when a schedule fires: `every weekday at 02:30 Europe/Berlin`."""
    zone = "UTC" if spec.dst is DstPolicy.UTC else spec.zone
    if spec.cron is not None:
        said = f"{_cron(spec.cron)} {zone}"
    elif spec.every_s is not None:
        said = f"every {_duration(spec.every_s)}"
    else:
        said = f"once, at {spec.at:%Y-%m-%d %H:%M:%S %Z}"
    if spec.jitter_s:
        said += f", up to {_duration(spec.jitter_s)} later"
    if spec.start is not None:
        said += f", from {spec.start:%Y-%m-%d %H:%M:%S %Z} on"
    if spec.end is not None:
        said += f", until {spec.end:%Y-%m-%d %H:%M:%S %Z}"
    return said


def _cron(expression: str) -> str:
    """Return an expression in words: the library's, turned to what people say."""
    told = CronSim(expression, datetime(2000, 1, 1, tzinfo=UTC)).explain()
    told = told[:1].lower() + told[1:]
    if (daily := _DAILY.fullmatch(told)) is not None:
        return f"every day at {daily[1]}"
    if (weekdays := _WEEKDAYS.fullmatch(told)) is not None:
        on = weekdays[1]
        return f"every weekday {on}" if on.startswith("at ") else f"{on} on weekdays"
    return told


def _duration(seconds: float) -> str:
    size, unit = next(((s, u) for s, u in _UNITS if seconds % s == 0), (1, "second"))
    count = seconds / size
    return unit if count == 1 else f"{count:g} {unit}s"


def coming(
    found: Iterable[Moment], zone: tzinfo, *, before_us: int, fires: int
) -> Iterator[ComingFire]:
    """Yield the next fires, with what is left out between them, and say where clocks change."""
    was = _local(before_us, zone).utcoffset()
    for one in found:
        local = _local(one.at_us, zone)
        offset = local.utcoffset()
        yield ComingFire(
            at=moment(one.at_us), local=local, reason=one.void, remark=_remark(one, local, was)
        )
        was = offset
        fires -= one.void is None
        if not fires:
            return


def _local(at_us: int, zone: tzinfo) -> datetime:
    return moment(at_us).astimezone(zone)


def _remark(one: Moment, local: datetime, was: timedelta | None) -> str | None:
    """Say what is odd about a moment; `was` is how far wall time was ahead at the one before."""
    now = local.utcoffset()
    if one.void is FireReason.DST_GAP:
        before = _local(one.at_us - _BEHIND_A_GAP_US, local.tzinfo or UTC).utcoffset()
        left_out = moment(one.at_us) + (before or timedelta())
        return f"clocks leave out {left_out:%H:%M}: it does not fire"
    if one.void is FireReason.DST_OVERLAP:
        return f"clocks show {local:%H:%M} for the second time: it has fired at the first"
    if local.fold == 0 and local.replace(fold=1).utcoffset() != now:
        return f"clocks show {local:%H:%M} twice: this is the first time"
    if local.fold == 1:
        return f"clocks show {local:%H:%M} twice: this is the second time"
    if now is None or was is None or now == was:
        return None
    return f"clocks have gone {'forward' if now > was else 'back'}"
