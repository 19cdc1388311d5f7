"""A schedule as a row, and the rule that it stands for."""

from dataclasses import dataclass
from typing import Final

from orchestrator.core.moments import Cron, Interval, Once, Timing
from orchestrator.core.schedule import Rule
from orchestrator.kernel.errors import NotFound
from orchestrator.protocol.base import microseconds
from orchestrator.protocol.ids import is_id
from orchestrator.protocol.schedules import ScheduleSpec, zone_of
from orchestrator.server.store.interface import Reader, Row

COLUMNS: Final = """
    id, name, owner, spec, created_us, changed_us, anchor_us, paused_us, paused_by, considered_us,
    next_us
"""
_SELECT: Final = f"SELECT {COLUMNS} FROM schedule"


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule's row."""

    id: str
    owner: str
    spec: ScheduleSpec
    created_us: int
    changed_us: int
    anchor_us: int
    paused_us: int | None
    paused_by: str | None
    considered_us: int
    next_us: int | None

    def rule(self) -> Rule:
        """Return what the core needs to know of it."""
        return rule_of(self.spec, key=self.id, anchor_us=self.anchor_us)


def rule_of(spec: ScheduleSpec, *, key: str, anchor_us: int) -> Rule:
    """Return the rule of a spec; `anchor_us` is where an interval without a start is counted from.

    A zone that this machine does not know any more is an error of `ValueError`.
    """
    start_us = None if spec.start is None else microseconds(spec.start)
    rhythm: Cron | Interval | Once
    if spec.cron is not None:
        rhythm = Cron(spec.cron, zone_of(spec.zone), spec.dst)
    elif spec.every_s is not None:
        period_us = round(spec.every_s * 1_000_000)
        # Its first moment, also for a clock that is set back to before it was made.
        begin_us = anchor_us + period_us if start_us is None else start_us
        rhythm = Interval(begin_us, period_us)
    else:
        rhythm = Once(0 if spec.at is None else microseconds(spec.at))
    return Rule(
        key=key,
        timing=Timing(rhythm, start_us, None if spec.end is None else microseconds(spec.end)),
        misfire=spec.misfire,
        misfire_max=spec.misfire_max,
        jitter_us=round(spec.jitter_s * 1_000_000),
    )


def schedule_of(row: Row) -> Schedule:
    """Return the schedule of a row that has `COLUMNS`."""
    return Schedule(
        id=row["id"],
        owner=row["owner"],
        spec=ScheduleSpec.model_validate_json(row["spec"]),
        created_us=row["created_us"],
        changed_us=row["changed_us"],
        anchor_us=row["anchor_us"],
        paused_us=row["paused_us"],
        paused_by=row["paused_by"],
        considered_us=row["considered_us"],
        next_us=row["next_us"],
    )


def load_schedule(reader: Reader, schedule_id: str) -> Schedule | None:
    """Return a schedule, or `None`."""
    row = reader.row(f"{_SELECT} WHERE id = :id", id=schedule_id)
    return None if row is None else schedule_of(row)


def find_schedule(reader: Reader, name: str) -> Schedule:
    """Return the schedule with that name or id, or say that there is none.

    What has the form of an id is one: no schedule is given such a name.
    """
    place = "id" if is_id("schedule", name) else "name"
    row = reader.row(f"{_SELECT} WHERE {place} = :name", name=name)
    if row is None:
        raise NotFound(
            f"there is no schedule {name}", hint="`orchestrator schedules list` shows them"
        )
    return schedule_of(row)
