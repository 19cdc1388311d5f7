"""Schedules, their fires and what is to come, as cells of text.

Pure: it is given views, and prints nothing.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from orchestrator.commands.moments import moment
from orchestrator.protocol.schedules import ComingFire, FireView, ScheduleView

HEADERS: Final = ("NAME", "STATE", "WHEN", "NEXT", "LAST", "ZONE", "ID")
FIRE_HEADERS: Final = ("UTC", "LOCAL", "OUTCOME", "JOB", "JOB IS", "NOTE")
COMING_HEADERS: Final = ("UTC", "LOCAL", "REMARK")


def local(when: datetime) -> str:
    """Return a moment by the clocks on the wall, and how far these are ahead."""
    return when.strftime("%a %Y-%m-%d %H:%M:%S %z")


def rows(schedules: Sequence[ScheduleView]) -> list[tuple[str, ...]]:
    """Return a row for each schedule, below `HEADERS`."""
    return [
        (
            one.name,
            str(one.state),
            one.words,
            moment(one.next_at),
            "" if one.last is None else outcome(one.last),
            one.zone,
            one.id,
        )
        for one in schedules
    ]


def facts(one: ScheduleView) -> list[tuple[str, str]]:
    """Return names and values of what is known of a schedule."""
    spec = one.spec
    shown = ("overlap", "misfire", "misfire_max", "dst", "jitter_s", "start", "end")
    return [
        ("name", one.name),
        ("id", one.id),
        ("state", f"paused by {one.paused_by}" if one.paused_by else str(one.state)),
        ("when", one.words),
        ("next", "" if one.next_at is None else next_fire(one)),
        ("last", "" if one.last is None else f"{moment(one.last.at)} {outcome(one.last)}"),
        ("zone", one.zone),
        *((name, str(spec[name])) for name in shown if name in spec),
        ("owner", one.owner),
        ("created", moment(one.created_at)),
        ("changed", moment(one.changed_at) if one.changed_at != one.created_at else ""),
        ("job", json.dumps(spec.get("job"), ensure_ascii=False)),
    ]


def next_fire(one: ScheduleView) -> str:
    """Return when it fires next, in UTC and by the clocks of its zone."""
    if one.next_at is None or one.next_local is None:
        return "it does not fire any more"
    return f"{moment(one.next_at)} ({local(one.next_local)})"


def outcome(fire: FireView) -> str:
    """Return what became of a moment."""
    why = "" if fire.reason is None else f" ({fire.reason})"
    return f"{fire.outcome}{why}"


def fire_rows(fires: Sequence[FireView]) -> list[tuple[str, ...]]:
    """Return a row for each line of a history, below `FIRE_HEADERS`."""
    return [
        (
            moment(fire.at),
            local(fire.local),
            outcome(fire),
            fire.job_id or "",
            "" if fire.job_state is None else str(fire.job_state),
            _note(fire),
        )
        for fire in fires
    ]


def _note(fire: FireView) -> str:
    if fire.through is None:
        return fire.detail or ""
    count = "more than 1,000" if fire.count is None else str(fire.count)
    return f"{count} moments, until {moment(fire.through)}"


def coming_rows(fires: Sequence[ComingFire]) -> list[tuple[str, ...]]:
    """Return a row for each moment to come, below `COMING_HEADERS`."""
    return [(moment(fire.at), local(fire.local), fire.remark or "") for fire in fires]
