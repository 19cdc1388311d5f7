"""Schedules as people make, change, pause and look at them; `fires.py` lets them fire."""

from datetime import tzinfo
from itertools import islice
from typing import Final

from pydantic import ValidationError

from orchestrator.core.moments import moments
from orchestrator.core.retention import DAY_US
from orchestrator.core.schedule import fault_of, look
from orchestrator.core.schedule_words import coming, in_words
from orchestrator.kernel.errors import AlreadyExists, RequestInvalid
from orchestrator.protocol import limits
from orchestrator.protocol.base import moment, moment_or_none
from orchestrator.protocol.ids import is_id
from orchestrator.protocol.schedules import (
    FireView,
    SchedulePatch,
    SchedulePreview,
    ScheduleSpec,
    ScheduleView,
    zone_of,
)
from orchestrator.protocol.words import FireReason, ScheduleState
from orchestrator.server.operations.fires import filled, keep_look, pass_over
from orchestrator.server.operations.schedule_records import (
    COLUMNS,
    Schedule,
    find_schedule,
    load_schedule,
    rule_of,
    schedule_of,
)
from orchestrator.server.store.interface import Reader, Row, Transaction

_INSERT: Final = """
    INSERT INTO schedule (id, name, owner, spec, created_us, changed_us, anchor_us, considered_us)
    VALUES (:id, :name, :owner, :spec, :now, :now, :now, :now)
"""
_UPDATE: Final = """
    UPDATE schedule SET name = :name, spec = :spec, changed_us = :now WHERE id = :id
"""
_PAUSE: Final = """
    UPDATE schedule SET paused_us = :now, paused_by = :by, due_us = NULL WHERE id = :id
"""
_RESUME: Final = "UPDATE schedule SET paused_us = NULL, paused_by = NULL WHERE id = :id"
_LIST: Final = f"SELECT {COLUMNS} FROM schedule WHERE name > :after ORDER BY name LIMIT :limit"
_HISTORY: Final = """
    SELECT fire_us, origin, outcome, schedule_fire.reason, detail, job_id, through_us, count,
        recorded_us, job.state AS job_state
    FROM schedule_fire LEFT JOIN job ON job.id = schedule_fire.job_id
    WHERE schedule_fire.schedule_id = :id
        AND (fire_us < :before OR (fire_us = :before AND origin > :behind))
    ORDER BY fire_us DESC, origin LIMIT :limit
"""
_NEWEST: Final = f"{2**62}."
HISTORY_KEPT_DAYS: Final = 90.0
FORGOTTEN: Final = 1000
"""Lines of histories in one go."""
_FORGET: Final = """
    DELETE FROM schedule_fire WHERE (schedule_id, fire_us, origin) IN (
        SELECT old.schedule_id, old.fire_us, old.origin
        FROM schedule CROSS JOIN schedule_fire AS old
        WHERE old.schedule_id = schedule.id AND old.fire_us < :before AND old.fire_us < (
            SELECT max(newest.fire_us) FROM schedule_fire AS newest
            WHERE newest.schedule_id = schedule.id
        )
        LIMIT :limit
    )
"""
"""All but the newest: a schedule for once a year tells what came of the last time."""
LOOKED_THROUGH: Final = 1000
"""Moments that a preview looks through: most of them may be left out by local time."""


def add_schedule(
    tx: Transaction, *, schedule_id: str, owner: str, spec: ScheduleSpec
) -> ScheduleView:
    """Keep a new schedule. The same once more is the same; another one of that name is refused."""
    known = tx.row(f"SELECT {COLUMNS} FROM schedule WHERE name = :name", name=spec.name)
    if known is not None:
        schedule = schedule_of(known)
        if schedule.spec == spec and schedule.owner == owner:
            return _view(tx, schedule)
        raise _taken(spec.name)
    check_spec(spec, now_us=tx.now_us)
    if tx.tuples("SELECT count(*) FROM schedule")[0][0] >= limits.SCHEDULES:
        raise RequestInvalid(
            f"there are {limits.SCHEDULES} schedules already, and no more are kept",
            hint="delete some: orchestrator schedules delete NAME",
        )
    tx.execute(
        _INSERT,
        id=schedule_id,
        name=spec.name,
        owner=owner,
        spec=_stored(spec),
        now=tx.now_us,
    )
    return _looked_at(tx, schedule_id)


def _taken(name: str) -> AlreadyExists:
    return AlreadyExists(
        f"there is another schedule {name}",
        hint=f"take another name, or change it: orchestrator schedules edit {name}",
    )


def _stored(spec: ScheduleSpec) -> str:
    return spec.model_dump_json(exclude_unset=True)


def check_spec(spec: ScheduleSpec, *, now_us: int) -> None:
    """Refuse a schedule that never fires, fires too often, or whose job cannot be filled in.

    Its name is no id: one of the two would be found where the other one is meant.
    """
    if is_id("schedule", spec.name):
        raise RequestInvalid(
            "the request is not valid: name",
            hint="take another name, for example nightly",
            fields=(("name", "has the form of an id, by which schedules are found as well"),),
        )
    fault = fault_of(rule_of(spec, key="", anchor_us=now_us), now_us=now_us)
    if fault is not None:
        field, words = fault
        raise RequestInvalid(
            f"the request is not valid: {field}",
            hint="`orchestrator schedules preview` shows when a schedule would fire",
            fields=((field, words),),
        )
    try:
        filled(spec.job, now_us)
    except ValidationError as error:
        words = error.errors(include_url=False, include_input=False)[0]["msg"]
        raise RequestInvalid(
            "the request is not valid: job",
            hint="{{fire_time}} becomes a text of twenty characters",
            fields=(("job", words),),
        ) from None


def edit_schedule(tx: Transaction, name: str, patch: SchedulePatch) -> ScheduleView:
    """Change a schedule from now on. Moments that nobody has looked at yet are told as missed."""
    schedule = find_schedule(tx, name)
    try:
        spec = ScheduleSpec.model_validate(patch.changed(schedule.spec))
    except ValidationError as error:
        words = error.errors(include_url=False, include_input=False)[0]["msg"]
        raise RequestInvalid(
            "the schedule would not be valid",
            hint="`orchestrator schedules show` tells what it has",
            fields=(("body", words.removeprefix("Value error, ")),),
        ) from None
    check_spec(spec, now_us=tx.now_us)
    named = tx.row("SELECT id FROM schedule WHERE name = :name", name=spec.name)
    if named is not None and named["id"] != schedule.id:
        raise _taken(spec.name)
    was_paused = schedule.paused_us is not None
    _pass_over(tx, schedule, FireReason.PAUSED if was_paused else FireReason.EDITED)
    tx.execute(_UPDATE, id=schedule.id, name=spec.name, spec=_stored(spec), now=tx.now_us)
    return _looked_at(tx, schedule.id)


def pause_schedule(tx: Transaction, name: str, *, by: str) -> ScheduleView:
    """Let nothing of a schedule fire until it is resumed. Twice is once."""
    schedule = find_schedule(tx, name)
    if schedule.paused_us is None:
        tx.execute(_PAUSE, id=schedule.id, by=by, now=tx.now_us)
    return show_schedule(tx, schedule.id)


def resume_schedule(tx: Transaction, name: str) -> ScheduleView:
    """Let a schedule go on from now; what came meanwhile is told as skipped."""
    schedule = find_schedule(tx, name)
    if schedule.paused_us is None:
        return _view(tx, schedule)
    _pass_over(tx, schedule, FireReason.PAUSED)
    tx.execute(_RESUME, id=schedule.id)
    return _looked_at(tx, schedule.id)


def delete_schedule(tx: Transaction, name: str) -> None:
    """Forget a schedule and its history. Jobs that it has submitted stay."""
    tx.execute("DELETE FROM schedule WHERE id = :id", id=find_schedule(tx, name).id)


def forget_fires(tx: Transaction) -> int:
    """Forget what became of some moments long ago; return of how many."""
    before = tx.now_us - round(HISTORY_KEPT_DAYS * DAY_US)
    return tx.execute(_FORGET, before=before, limit=FORGOTTEN)


def pass_over_all(tx: Transaction) -> None:
    """Let nothing fire that has come since a backup was made: the server of then has done it."""
    for row in tx.rows(f"SELECT {COLUMNS} FROM schedule WHERE paused_us IS NULL ORDER BY id"):
        _pass_over(tx, schedule_of(row), FireReason.RESTORED)


def _pass_over(tx: Transaction, schedule: Schedule, reason: FireReason) -> None:
    """Decide about everything up to now without a job."""
    considered_us, now_us = schedule.considered_us, tx.now_us
    found = look(schedule.rule(), considered_us=considered_us, now_us=now_us, instead=reason)
    for entry in found.entries:
        pass_over(tx, schedule.id, entry)
    keep_look(tx, schedule.id, found)


def _looked_at(tx: Transaction, schedule_id: str) -> ScheduleView:
    """Write when to look at a schedule that begins now, and return it."""
    schedule = load_schedule(tx, schedule_id)
    if schedule is not None and schedule.paused_us is None:
        found = look(schedule.rule(), considered_us=tx.now_us, now_us=tx.now_us)
        keep_look(tx, schedule_id, found)
    return show_schedule(tx, schedule_id)


def show_schedule(reader: Reader, name: str) -> ScheduleView:
    """Return a schedule."""
    return _view(reader, find_schedule(reader, name))


def list_schedules(
    reader: Reader, *, after: str, limit: int
) -> tuple[list[ScheduleView], str | None]:
    """Return schedules by name, and behind which to go on if there are more."""
    rows = reader.rows(_LIST, after=after, limit=limit + 1)
    page = [_view(reader, schedule_of(row)) for row in rows[:limit]]
    return page, page[-1].name if len(rows) > limit else None


def history(
    reader: Reader, name: str, *, cursor: str | None, limit: int
) -> tuple[list[FireView], str | None]:
    """Return what became of the moments of a schedule, the newest first, and where to go on."""
    schedule = find_schedule(reader, name)
    zone = zone_of(schedule.spec.zone)
    rows = _rows(reader, schedule.id, cursor or _NEWEST, limit + 1)
    views = [_fire_view(row, zone) for row in rows[:limit]]
    last = rows[limit - 1] if len(rows) > limit else None
    return views, None if last is None else f"{last['fire_us']}.{last['origin']}"


def preview_new(spec: ScheduleSpec, *, now_us: int, count: int) -> SchedulePreview:
    """Return what a schedule would do, or refuse one that is no good."""
    check_spec(spec, now_us=now_us)
    return preview(spec, anchor_us=now_us, now_us=now_us, count=count)


def preview(spec: ScheduleSpec, *, anchor_us: int, now_us: int, count: int) -> SchedulePreview:
    """Return what a schedule does from now on, paused or not."""
    rule = rule_of(spec, key="", anchor_us=anchor_us)
    found = islice(moments(rule.timing, after_us=now_us), LOOKED_THROUGH)
    items = coming(found, zone_of(spec.zone), before_us=now_us, fires=count)
    return SchedulePreview(words=in_words(spec), zone=spec.zone, items=list(items))


def _view(reader: Reader, schedule: Schedule) -> ScheduleView:
    zone = zone_of(schedule.spec.zone)
    next_us = None if schedule.paused_us is not None else schedule.next_us
    last = _rows(reader, schedule.id, _NEWEST, 1)
    return ScheduleView(
        id=schedule.id,
        name=schedule.spec.name,
        owner=schedule.owner,
        state=_state(schedule),
        words=in_words(schedule.spec),
        zone=schedule.spec.zone,
        next_at=moment_or_none(next_us),
        next_local=None if next_us is None else moment(next_us).astimezone(zone),
        last=_fire_view(last[0], zone) if last else None,
        created_at=moment(schedule.created_us),
        changed_at=moment(schedule.changed_us),
        paused_at=moment_or_none(schedule.paused_us),
        paused_by=schedule.paused_by,
        spec=schedule.spec.model_dump(mode="json", exclude_unset=True),
    )


def _state(schedule: Schedule) -> ScheduleState:
    if schedule.paused_us is not None:
        return ScheduleState.PAUSED
    return ScheduleState.FINISHED if schedule.next_us is None else ScheduleState.ACTIVE


def _rows(reader: Reader, schedule_id: str, cursor: str, limit: int) -> list[Row]:
    before, _, behind = cursor.partition(".")
    return reader.rows(_HISTORY, id=schedule_id, before=int(before), behind=behind, limit=limit)


def _fire_view(row: Row, zone: tzinfo) -> FireView:
    return FireView(
        at=moment(row["fire_us"]),
        local=moment(row["fire_us"]).astimezone(zone),
        origin=row["origin"],
        outcome=row["outcome"],
        reason=row["reason"],
        detail=row["detail"],
        job_id=row["job_id"],
        job_state=row["job_state"],
        through=moment_or_none(row["through_us"]),
        count=row["count"],
        recorded_at=moment(row["recorded_us"]),
    )
