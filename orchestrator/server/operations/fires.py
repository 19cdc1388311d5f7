"""Let a schedule fire: its moment, its job and what comes next are one transaction.

The row of a moment is unique. Whoever comes second to it, after a crash, a restore of an hour ago
or a clock that was set back, finds it there and submits nothing.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic_core import to_json

from orchestrator.core.schedule import Entry, Look, in_the_way, look
from orchestrator.kernel.errors import IllegalTransition
from orchestrator.kernel.failpoints import reached
from orchestrator.protocol import limits
from orchestrator.protocol.base import moment
from orchestrator.protocol.jobs import Dependency, JobSpec
from orchestrator.protocol.views import JobView
from orchestrator.protocol.words import (
    FireOrigin,
    FireOutcome,
    FireReason,
    JobState,
    Overlap,
    WaitsFor,
)
from orchestrator.server.facts import Scheduled
from orchestrator.server.operations.cancel import cancel
from orchestrator.server.operations.schedule_records import Schedule, load_schedule
from orchestrator.server.operations.submit import submit
from orchestrator.server.store.interface import Reader, Transaction

NewId = Callable[[str], str]
_FIRE_TIME: Final = re.compile(r"\{\{ ?fire_time ?\}\}")
_KEEP_LOOK: Final = """
    UPDATE schedule SET considered_us = :considered, next_us = :next,
        due_us = CASE WHEN paused_us IS NULL THEN CAST(:due AS BIGINT) END
    WHERE id = :id
"""
_RECORD: Final = """
    INSERT INTO schedule_fire (schedule_id, fire_us, origin, outcome, reason, detail, job_id,
        through_us, count, recorded_us)
    VALUES (:id, :at, :origin, :outcome, :reason, :detail, :job_id, :through, :count, :now)
    ON CONFLICT (schedule_id, fire_us, origin) DO UPDATE SET
        outcome = excluded.outcome, reason = excluded.reason, detail = excluded.detail,
        job_id = excluded.job_id, through_us = excluded.through_us, count = excluded.count,
        recorded_us = excluded.recorded_us
    WHERE schedule_fire.outcome = 'missed' AND excluded.outcome <> 'missed'
"""
"""A moment that was given up because a clock ran ahead may come after all; any other comes once."""
_OPEN_JOBS: Final = """
    SELECT id, state FROM job
    WHERE schedule_id = :id AND schedule_id IS NOT NULL AND finished_us IS NULL ORDER BY id
"""
_LAST_ASKED: Final = f"""
    SELECT fire_us FROM schedule_fire WHERE schedule_id = :id AND origin = '{FireOrigin.PERSON}'
    ORDER BY fire_us DESC LIMIT 1
"""
_STOOD_BACK: Final = f"""
    UPDATE schedule_fire SET outcome = '{FireOutcome.SKIPPED}', reason = '{FireReason.OVERLAP}',
        detail = :detail, job_id = NULL
    WHERE schedule_id = :id AND fire_us = :at AND origin = :origin
"""
_BELONGS: Final = "UPDATE job SET schedule_id = :schedule_id WHERE id = :id"
_SELECT_DUE: Final = "SELECT id FROM schedule WHERE due_us <= :now ORDER BY due_us, id LIMIT :limit"
_SELECT_AHEAD: Final = """
    SELECT id FROM schedule WHERE considered_us > :now AND paused_us IS NULL ORDER BY id
"""
BATCH: Final = 100
"""Schedules that are looked at before somebody asks again which are due."""
DETAIL_CHARS: Final = 500
_MISSED: Final = frozenset({FireReason.LATE, FireReason.EDITED, FireReason.RESTORED})


@dataclass(frozen=True, slots=True)
class _Row:
    """What is written down about a moment."""

    at_us: int
    outcome: FireOutcome
    reason: FireReason | None = None
    detail: str | None = None
    origin: FireOrigin = FireOrigin.RULE
    job_id: str | None = None
    through: int | None = None
    count: int | None = 1


def due_schedules(reader: Reader, *, now_us: int) -> list[str]:
    """Return schedules that have something to decide, and those that a clock set back has left."""
    ahead = reader.tuples(_SELECT_AHEAD, now=now_us)
    due = reader.tuples(_SELECT_DUE, now=now_us, limit=BATCH)
    return list(dict.fromkeys(schedule_id for (schedule_id,) in (*ahead, *due)))


def fire_due(
    tx: Transaction, schedule_id: str, *, new_id: NewId, refused: str | None = None
) -> int:
    """Decide about every moment that has come; return how many jobs were submitted.

    A template that is refused raises, and nothing is done. Ask again with the refusal: it is kept
    with each moment that would have fired.
    """
    schedule = load_schedule(tx, schedule_id)
    if schedule is None or schedule.paused_us is not None:
        return 0
    found = look(schedule.rule(), considered_us=schedule.considered_us, now_us=tx.now_us)
    jobs = 0
    for entry in found.entries:
        if entry.reason is not None:
            pass_over(tx, schedule_id, entry)
        elif refused is not None:
            row = _Row(entry.at_us, FireOutcome.FAILED, FireReason.REFUSED, refused[:DETAIL_CHARS])
            _record(tx, schedule_id, row)
        else:
            jobs += _fire(tx, schedule, entry.at_us, new_id)
    keep_look(tx, schedule_id, found)
    reached("schedule.before_commit")
    return jobs


def keep_look(tx: Transaction, schedule_id: str, found: Look) -> None:
    """Write up to where everything is decided, and have somebody look again at the right moment."""
    tx.execute(
        _KEEP_LOOK,
        id=schedule_id,
        considered=found.considered_us,
        next=found.next_us,
        due=found.due_us,
    )
    if found.due_us is not None:
        tx.announce(Scheduled(found.due_us))


def pass_over(tx: Transaction, schedule_id: str, entry: Entry) -> None:
    """Write down a moment that does not fire, or many in a row, and why."""
    _record(
        tx,
        schedule_id,
        _Row(
            entry.at_us,
            FireOutcome.MISSED if entry.reason in _MISSED else FireOutcome.SKIPPED,
            entry.reason,
            origin=FireOrigin.GAP if entry.reason is FireReason.DST_GAP else FireOrigin.RULE,
            through=entry.through_us,
            count=entry.count,
        ),
    )


def run_now(tx: Transaction, schedule: Schedule, *, job_id: str, by: str) -> JobView:
    """Submit the job of a schedule because a person asks for it, beside its own moments."""
    overlap = schedule.spec.overlap
    still = [] if overlap is Overlap.ALLOW else _open_jobs(tx, schedule.id)
    blocking = in_the_way(overlap, still)
    if blocking is not None:
        other, state = blocking
        raise IllegalTransition(
            f"{other} of this schedule is {state}, and its overlap is {overlap}",
            hint=f"wait for its end, or cancel it: orchestrator jobs cancel {other}",
        )
    last = tx.row(_LAST_ASKED, id=schedule.id)
    at_us = tx.now_us if last is None else max(tx.now_us, last["fire_us"] + 1)
    words = f"{by} asked for it"
    row = _Row(at_us, FireOutcome.FIRED, None, words, origin=FireOrigin.PERSON, job_id=job_id)
    _record(tx, schedule.id, row)
    behind = _make_way(tx, schedule, still, by=by)
    return _submitted(tx, schedule, row, job_id, behind=behind)


def _fire(tx: Transaction, schedule: Schedule, at_us: int, new_id: NewId) -> bool:
    """Submit the job of a moment, unless the moment has had its turn or another job is in its way.

    Its row comes first: whoever finds one there submits nothing.
    """
    overlap = schedule.spec.overlap
    still = [] if overlap is Overlap.ALLOW else _open_jobs(tx, schedule.id)
    blocking = in_the_way(overlap, still)
    if blocking is not None:
        words = f"{blocking[0]} was {blocking[1]}"
        _record(tx, schedule.id, _Row(at_us, FireOutcome.SKIPPED, FireReason.OVERLAP, words))
        return False
    job_id = new_id("job")
    row = _Row(at_us, FireOutcome.FIRED, job_id=job_id)
    if not _record(tx, schedule.id, row):
        return False
    behind = _make_way(tx, schedule, still, by=schedule.owner)
    job = _submitted(tx, schedule, row, job_id, behind=behind)
    return job.id == job_id


def _make_way(
    tx: Transaction, schedule: Schedule, still: Sequence[tuple[str, JobState]], *, by: str
) -> list[str]:
    """End the jobs that are not over, if the schedule says so; return those to wait for."""
    if schedule.spec.overlap is Overlap.CANCEL_RUNNING:
        words = f"schedule {schedule.spec.name} fires again"
        for other, _ in still:
            cancel(tx, other, by=by, comment=words)
    return [other for other, _ in still]


def _submitted(
    tx: Transaction, schedule: Schedule, row: _Row, job_id: str, *, behind: Sequence[str] = ()
) -> JobView:
    """Submit the job of a moment; it begins when those before it are over.

    Of a unique job another one may be there: then that is the answer, and the moment brings none.
    """
    spec = filled(schedule.spec.job, row.at_us)
    if behind:
        room = limits.DEPENDENCIES - len(spec.depends_on)
        own = {one.job for one in spec.depends_on}
        others = [Dependency(job=job, on=WaitsFor.FINISH) for job in behind if job not in own]
        spec = spec.model_copy(update={"depends_on": [*spec.depends_on, *others[:room]]})
    job = submit(tx, job_id=job_id, owner=schedule.owner, spec=spec)
    if job.id == job_id:
        tx.execute(_BELONGS, id=job_id, schedule_id=schedule.id)
        return job.model_copy(update={"schedule_id": schedule.id})
    there = f"{job.id} is there already ({job.state})"
    detail = f"{row.detail}; {there}" if row.detail else there
    tx.execute(_STOOD_BACK, id=schedule.id, at=row.at_us, origin=row.origin, detail=detail)
    return job


def _record(tx: Transaction, schedule_id: str, row: _Row) -> bool:
    """Write down what became of a moment; tell whether that was still to be said."""
    written = tx.execute(
        _RECORD,
        id=schedule_id,
        at=row.at_us,
        origin=row.origin,
        outcome=row.outcome,
        reason=row.reason,
        detail=row.detail,
        job_id=row.job_id,
        through=row.through,
        count=row.count,
        now=tx.now_us,
    )
    return written == 1


def _open_jobs(reader: Reader, schedule_id: str) -> list[tuple[str, JobState]]:
    """Return the jobs of a schedule that are not over, the oldest first."""
    return [
        (job_id, JobState(state)) for job_id, state in reader.tuples(_OPEN_JOBS, id=schedule_id)
    ]


def filled(template: JobSpec, at_us: int) -> JobSpec:
    """Return the job of a moment: `{{fire_time}}` in its texts is that moment, in UTC."""
    when = f"{moment(at_us):%Y-%m-%dT%H:%M:%SZ}"
    given = template.model_dump(mode="json", exclude_unset=True)
    for field in ("name", "params", "env", "labels"):
        if field in given:
            given[field] = _filled(given[field], when)
    return JobSpec.model_validate_json(to_json(given))


def _filled(value: Any, when: str) -> Any:  # noqa: ANN401 - any JSON
    match value:
        case str():
            return _FIRE_TIME.sub(when, value)
        case list():
            return [_filled(item, when) for item in value]
        case dict():
            return {key: _filled(item, when) for key, item in value.items()}
        case _:
            return value
