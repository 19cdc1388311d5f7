"""Let a job that has not begun be more or less urgent, wait elsewhere or longer, be labelled anew.

What was asked for stays as it is, in the spec; what counts is in the job's row. Who repeats the job
repeats what was asked for.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from pydantic_core import from_json, to_json

from orchestrator.core.job import DueMoved, decide
from orchestrator.core.job_lifecycle import PENDING
from orchestrator.core.rank import moved
from orchestrator.kernel.errors import IllegalTransition, RequestInvalid
from orchestrator.protocol import limits
from orchestrator.protocol.base import microseconds, moment, moment_or_none
from orchestrator.protocol.jobs import AmendRequest
from orchestrator.protocol.views import JobDetail
from orchestrator.protocol.words import JobEventType, JobState
from orchestrator.server.edge.refusals import Declined
from orchestrator.server.facts import Claimable, Scheduled
from orchestrator.server.operations.cancel import not_found
from orchestrator.server.operations.changes import Changes, encoded
from orchestrator.server.operations.jobs import get_job
from orchestrator.server.operations.lines import enter_queue
from orchestrator.server.operations.queues import require_queue
from orchestrator.server.operations.records import JOB_COLUMNS, JOB_WIDTH, JobRecord
from orchestrator.server.operations.standing import Standing, settle
from orchestrator.server.store.interface import Transaction

_SELECT: Final = f"""
    SELECT {JOB_COLUMNS}, job.labels, job.run_at_us, job.held_due_us FROM job WHERE id = :job_id
"""
_AMEND: Final = """
    UPDATE job SET priority = :priority, rank = :rank, labels = :labels, run_at_us = :run_at_us,
        held_due_us = :held_due_us, queue = :queue, line_id = :line_id
    WHERE id = :id AND event_seq = :event_seq
"""


def amend(
    tx: Transaction, job_id: str, asked: AmendRequest, *, by: str, version: int | None = None
) -> JobDetail:
    """Change a job that has not begun, and return it; with `version`, only if it is that one.

    Into a queue in which it is already it is not moved again: nothing happens, and nothing is told.
    """
    found = tx.tuples(_SELECT, job_id=job_id)
    if not found:
        raise not_found(job_id)
    job = JobRecord.of(found[0])
    labels, run_at_us, held_due_us = found[0][JOB_WIDTH:]
    _check(job, version)
    told: dict[str, Any] = {"by": by, "comment": asked.comment}
    changes = Changes(tx)
    if asked.priority is not None:
        told["priority"] = [job.priority, asked.priority]
        job.rank = moved(job.rank, was=job.priority, priority=asked.priority)
        job.priority = asked.priority
    if asked.labels:
        told["labels"] = asked.labels
        labels = _labelled(from_json(labels), asked.labels)
    if asked.queue is not None:
        require_queue(tx, asked.queue)
        if asked.queue != job.queue:
            told["queue"] = [job.queue, asked.queue]
            _enter(tx, changes, job, asked.queue)
    moves = "run_at" in asked.model_fields_set
    if moves:
        told["run_at"] = [moment_or_none(run_at_us), asked.run_at]
        run_at_us = None if asked.run_at is None else microseconds(asked.run_at)
        _require_time(job, run_at_us)
        held_due_us = run_at_us if job.state is JobState.HELD else None
    if told.keys() - {"by", "comment"}:
        changes.tell(job, JobEventType.AMENDED, data=encoded(told))
        if moves:
            _move(tx, changes, job, asked.run_at)
        changes.save()
        _save(tx, job, labels=labels, run_at_us=run_at_us, held_due_us=held_due_us)
    view = get_job(tx, job_id)
    if view is None:
        raise not_found(job_id)
    return view


def _check(job: JobRecord, version: int | None) -> None:
    if version is not None and version != job.event_seq:
        raise Declined(
            412,
            "version_changed",
            f"{job.id} has changed since it was looked at",
            hint="look at it again, and then decide",
        )
    if job.state not in PENDING:
        raise IllegalTransition(
            f"{job.id} is {job.state}; only a job that has not begun can be changed",
            hint="`orchestrator jobs retry --set` submits a changed one once it is over",
        )


def _save(
    tx: Transaction, job: JobRecord, *, labels: str, run_at_us: int | None, held_due_us: int | None
) -> None:
    """Write what was changed; a job that is queued may have its turn sooner by that."""
    tx.execute(
        _AMEND,
        id=job.id,
        event_seq=job.event_seq,
        priority=job.priority,
        rank=job.rank,
        labels=labels,
        run_at_us=run_at_us,
        held_due_us=held_due_us,
        queue=job.queue,
        line_id=job.line_id,
    )
    if job.state is JobState.QUEUED:
        settle(tx, [job.line_id])


def _enter(tx: Transaction, changes: Changes, job: JobRecord, queue: str) -> None:
    """Let the job wait in another queue, in the place that its waiting has earned it.

    What it asks for stays: the defaults of the queue are for those that are submitted to it.
    """
    standing = Standing(job.rank, job.id, job.priority)
    job.line_id, job.queue = enter_queue(tx, job.line_id, queue, standing), queue
    if job.state is JobState.QUEUED:
        changes.announce(Claimable(job.requirement_id, 1))


def _require_time(job: JobRecord, run_at_us: int | None) -> None:
    """Refuse a moment at which the job is over already, as a submit does."""
    ends = [end_us for end_us in (job.expires_us, job.deadline_us) if end_us is not None]
    if run_at_us is not None and ends and run_at_us >= min(ends):
        raise RequestInvalid(
            "the request is not valid: run_at",
            hint=f"give a moment before {moment(min(ends)):%Y-%m-%d %H:%M:%SZ}",
            fields=(("run_at", "comes after the moment until which the job has time"),),
        )


def _move(tx: Transaction, changes: Changes, job: JobRecord, run_at: datetime | None) -> None:
    """Let the job wait for another moment, or for none."""
    due_us = None if run_at is None else microseconds(run_at)
    change = decide(job.rules(), DueMoved(due_us), now_us=tx.now_us)
    if change.path or change.due_us is not None:
        job.due_us = tx.now_us  # if it is due now, it enters the queue now
        changes.become(job, change)
    if change.due_us is not None:
        changes.announce(Scheduled(change.due_us))


def _labelled(labels: dict[str, str], asked: Mapping[str, str | None]) -> str:
    merged: dict[str, str | None] = {**labels, **asked}
    kept = {key: text for key, text in sorted(merged.items()) if text is not None}
    if len(kept) > limits.LABELS:
        raise RequestInvalid(
            "the request is not valid: labels",
            hint="take some away: a label that is null is removed",
            fields=(("labels", f"there would be more than {limits.LABELS} of them"),),
        )
    return to_json(kept).decode()
