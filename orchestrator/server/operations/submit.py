"""Take a job in: its row, its spec, what it asks of a worker, the first line of its timeline."""

from dataclasses import dataclass
from typing import Final

from pydantic_core import to_json

from orchestrator.core.lease import patience_us
from orchestrator.core.rank import rank
from orchestrator.core.summary import summary
from orchestrator.kernel.errors import RequestInvalid
from orchestrator.kernel.failpoints import reached
from orchestrator.protocol.base import microseconds, moment, moment_or_none
from orchestrator.protocol.jobs import JobSpec
from orchestrator.protocol.views import JobView
from orchestrator.protocol.words import JobEventType, JobState, PendingReason
from orchestrator.server.facts import Claimable, JobChanged, Scheduled
from orchestrator.server.operations.changes import INSERT_EVENT, encoded
from orchestrator.server.operations.pending import why_new
from orchestrator.server.operations.records import stored_policy
from orchestrator.server.operations.requirements import intern, requirement_of
from orchestrator.server.store.interface import Transaction

_INSERT_JOB: Final = """
    INSERT INTO job (id, owner, kind, name, labels, priority, requirement_id, retry, max_lost,
        execution, reattach_us, run_at_us, created_us, state, pending_reason, rank, due_us,
        event_seq, retry_of, summary)
    VALUES (:id, :owner, :kind, :name, :labels, :priority, :requirement_id, :retry, :max_lost,
        :execution, :reattach_us, :run_at_us, :created_us, :state, :pending_reason, :rank, :due_us,
        1, :retry_of, :summary)
"""
_INSERT_SPEC: Final = "INSERT INTO job_spec (job_id, spec) VALUES (:job_id, :spec)"
_USE_FILE: Final = "UPDATE file SET used_us = :now WHERE sha256 = :sha256"
_INSERT_FILE: Final = "INSERT INTO job_file (job_id, sha256) VALUES (:job_id, :sha256)"


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a new job begins."""

    state: JobState
    pending_reason: PendingReason | None
    due_us: int | None
    rank: int


def submit(
    tx: Transaction, *, job_id: str, owner: str, spec: JobSpec, retry_of: str | None = None
) -> JobView:
    """Store a validated job and return it; it may be claimed as soon as this is committed."""
    run_at_us = None if spec.run_at is None else microseconds(spec.run_at)
    place = _place(tx.now_us, run_at_us, spec.priority)
    said = summary(spec.params)
    requirement = intern(tx, requirement_of(spec))
    tx.execute(
        _INSERT_JOB,
        id=job_id,
        owner=owner,
        kind=spec.kind,
        name=spec.name,
        labels=to_json(dict(sorted(spec.labels.items()))).decode(),
        priority=spec.priority,
        requirement_id=requirement,
        retry=stored_policy(spec.retry),
        max_lost=spec.losses_allowed,
        execution=spec.execution.value,
        reattach_us=patience_us(spec.execution, round(spec.reattach_window_s * 1_000_000)),
        run_at_us=run_at_us,
        created_us=tx.now_us,
        state=place.state.value,
        pending_reason=place.pending_reason,
        rank=place.rank,
        due_us=place.due_us,
        retry_of=retry_of,
        summary=said,
    )
    tx.execute(_INSERT_SPEC, job_id=job_id, spec=spec.model_dump_json())
    tx.execute(
        INSERT_EVENT,
        job_id=job_id,
        seq=1,
        at_us=tx.now_us,
        type=JobEventType.SUBMITTED.value,
        attempt=None,
        data=encoded({"owner": owner, "retry_of": retry_of}),
    )
    _refer_to_files(tx, job_id, spec)
    tx.announce(JobChanged(job_id))
    if place.due_us is None:
        tx.announce(Claimable(requirement, 1))
    else:
        tx.announce(Scheduled(place.due_us))
    reached("submit.before_commit")
    return JobView(
        id=job_id,
        kind=spec.kind,
        name=spec.name,
        state=place.state,
        pending_reason=place.pending_reason or why_new(tx, requirement),
        priority=spec.priority,
        owner=owner,
        labels=spec.labels,
        created_at=moment(tx.now_us),
        run_at=moment_or_none(run_at_us),
        retry_of=retry_of,
        summary=said,
    )


def _place(now_us: int, run_at_us: int | None, priority: int) -> _Place:
    if run_at_us is not None and run_at_us > now_us:
        begins = rank(run_at_us, priority)
        return _Place(JobState.SCHEDULED, PendingReason.NOT_BEFORE, run_at_us, begins)
    return _Place(JobState.QUEUED, None, None, rank(now_us, priority))


def _refer_to_files(tx: Transaction, job_id: str, spec: JobSpec) -> None:
    """Tie the job to its input files, or refuse it: it must run with exactly those bytes."""
    missing = []
    seen: set[str] = set()
    for index, given in enumerate(spec.inputs):
        if given.file in seen:
            continue
        seen.add(given.file)
        if tx.execute(_USE_FILE, now=tx.now_us, sha256=given.file):
            tx.execute(_INSERT_FILE, job_id=job_id, sha256=given.file)
        else:
            missing.append((f"inputs.{index}.file", "no file with this SHA-256 is stored"))
    if missing:
        raise RequestInvalid(
            "a job names files that are not stored here",
            hint="upload each file first (POST /api/v1/files), then submit the job",
            fields=tuple(missing),
            code="input_missing",
        )
