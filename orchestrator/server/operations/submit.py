"""Take a job in: its row, its spec, what it asks of a worker, the first line of its timeline."""

from dataclasses import dataclass
from typing import Final

from pydantic_core import to_json

from orchestrator.core.dependencies import Verdict
from orchestrator.core.job import DependencyFailed
from orchestrator.core.lease import patience_us
from orchestrator.core.line import Line
from orchestrator.core.rank import rank
from orchestrator.core.summary import summary
from orchestrator.kernel.errors import RequestInvalid
from orchestrator.kernel.failpoints import reached
from orchestrator.protocol.base import microseconds, moment, moment_or_none
from orchestrator.protocol.jobs import JobSpec
from orchestrator.protocol.views import JobView
from orchestrator.protocol.words import JobEventType, JobState, PendingReason
from orchestrator.server.facts import Claimable, JobChanged, Scheduled
from orchestrator.server.operations.changes import INSERT_EVENT, Changes, encoded
from orchestrator.server.operations.concurrency import make_way
from orchestrator.server.operations.dependencies import NOTHING, Needs, keep, needs_of
from orchestrator.server.operations.dependents import Following
from orchestrator.server.operations.jobs import view_job
from orchestrator.server.operations.lines import enter_line
from orchestrator.server.operations.moments import moments_of
from orchestrator.server.operations.pending import why_new
from orchestrator.server.operations.queues import Defaults
from orchestrator.server.operations.records import JOB_COLUMNS, JobRecord, stored_policy
from orchestrator.server.operations.standing import Standing
from orchestrator.server.operations.unique import find_room, keep_key
from orchestrator.server.store.interface import Transaction, Value

_INSERT_JOB: Final = """
    INSERT INTO job (id, owner, kind, name, labels, priority, requirement_id, retry, max_lost,
        execution, reattach_us, run_at_us, created_us, state, pending_reason, rank, due_us,
        event_seq, retry_of, summary, expires_us, deadline_us, queue, line_id, batch_id)
    VALUES (:id, :owner, :kind, :name, :labels, :priority, :requirement_id, :retry, :max_lost,
        :execution, :reattach_us, :run_at_us, :created_us, :state, :pending_reason, :rank, :due_us,
        1, :retry_of, :summary, :expires_us, :deadline_us, :queue, :line_id, :batch_id)
"""
_SELECT_NEW: Final = f"SELECT {JOB_COLUMNS} FROM job WHERE id = :job_id"
_INSERT_SPEC: Final = "INSERT INTO job_spec (job_id, spec) VALUES (:job_id, :spec)"
_USE_FILE: Final = "UPDATE file SET used_us = :now WHERE sha256 = :sha256"
_INSERT_FILE: Final = "INSERT INTO job_file (job_id, sha256) VALUES (:job_id, :sha256)"


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job that is to be taken in; `needs` is what it depends on, as that is now."""

    id: str
    owner: str
    spec: JobSpec
    retry_of: str | None = None
    batch_id: str | None = None
    needs: Needs = NOTHING


class Rows:
    """Rows to be written in one go, each after those that it refers to.

    `lines` are those in which jobs wait, each kept once for many jobs that are alike.
    """

    def __init__(self) -> None:
        self.lines: dict[int, Standing] = {}
        self._rows: dict[str, list[dict[str, Value]]] = {}

    def add(self, sql: str, **params: Value) -> None:
        """Have a statement run with these parameters."""
        self._rows.setdefault(sql, []).append(params)

    def write(self, tx: Transaction) -> None:
        """Run the statements in the order in which the first row of each came."""
        for sql, params in self._rows.items():
            if len(params) == 1:
                tx.execute(sql, **params[0])
            else:
                tx.many(sql, params)


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
    """Store a validated job and return it; it may be claimed as soon as this is committed.

    A unique job for which there is no room is not stored: the answer is what is there, or no.
    """
    spec = Defaults(tx).applied(spec)
    existing = find_room(tx, spec, job_id=job_id, owner=owner)
    if existing is not None:
        return existing
    make_way(tx, spec, job_id=job_id)
    needs = needs_of(tx, spec.depends_on)
    rows = Rows()
    view, line, requirement = enter(tx, rows, NewJob(job_id, owner, spec, retry_of, needs=needs))
    rows.write(tx)
    keep_key(tx, spec, job_id=job_id)
    if needs.blocks:
        keep(tx, [(job_id, one) for one in needs.open])
        fail_with(tx, job_id, needs)
    reached("submit.before_commit")
    if needs.failure is not None and (now := view_job(tx, job_id)) is not None:
        return now
    if view.pending_reason is not None:
        return view
    return view.model_copy(update={"pending_reason": why_new(tx, line, requirement)})


def enter(tx: Transaction, rows: Rows, new: NewJob) -> tuple[JobView, Line, int]:
    """Add a new job to the rows that are to be written, and tell of it.

    Return it, the line in which it waits, and the number of what it requires.
    """
    job_id, owner, spec, needs, retry_of = new.id, new.owner, new.spec, new.needs, new.retry_of
    run_at_us = None if spec.run_at is None else microseconds(spec.run_at)
    place = _place(tx.now_us, run_at_us, spec.priority, blocked=needs.blocks)
    moments = moments_of(spec, now_us=tx.now_us)
    said = summary(spec.params)
    line, requirement = enter_line(tx, spec, (place.rank, job_id), owner=owner, kept=rows.lines)
    rows.add(
        _INSERT_JOB,
        id=job_id,
        owner=owner,
        kind=spec.kind,
        name=spec.name,
        labels=to_json(dict(sorted(spec.labels.items()))).decode(),
        priority=spec.priority,
        requirement_id=requirement,
        line_id=line.id,
        queue=spec.queue,
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
        expires_us=moments.expires_us,
        deadline_us=moments.deadline_us,
        batch_id=new.batch_id,
    )
    told = encoded({"owner": owner, "retry_of": retry_of, "batch_id": new.batch_id})
    _keep_what_was_asked(tx, rows, new, told)
    if place.state is JobState.QUEUED:
        tx.announce(Claimable(requirement, 1))
    _set_alarm(tx, place.due_us, moments.expires_us, moments.deadline_us)
    view = JobView(
        id=job_id,
        kind=spec.kind,
        name=spec.name,
        state=place.state,
        pending_reason=place.pending_reason,
        priority=spec.priority,
        queue=spec.queue,
        owner=owner,
        labels=spec.labels,
        created_at=moment(tx.now_us),
        run_at=moment_or_none(run_at_us),
        expires_at=moment_or_none(moments.expires_us),
        deadline_at=moment_or_none(moments.deadline_us),
        retry_of=retry_of,
        summary=said,
        batch_id=new.batch_id,
    )
    return view, line, requirement


def _set_alarm(tx: Transaction, *moments: int | None) -> None:
    for moment_us in moments:
        if moment_us is not None:
            tx.announce(Scheduled(moment_us))


def _keep_what_was_asked(tx: Transaction, rows: Rows, new: NewJob, told: str | None) -> None:
    """Store the spec, the first line of the timeline, and which files are the job's."""
    rows.add(_INSERT_SPEC, job_id=new.id, spec=new.spec.model_dump_json())
    rows.add(
        INSERT_EVENT,
        job_id=new.id,
        seq=1,
        at_us=tx.now_us,
        type=JobEventType.SUBMITTED.value,
        attempt=None,
        data=told,
    )
    _refer_to_files(tx, rows, new)
    tx.announce(JobChanged(new.id))


def fail_with(tx: Transaction, job_id: str, needs: Needs) -> None:
    """Let a new job fail, or be held, if something that it depends on has failed already."""
    if needs.worst is Verdict.MET:
        return
    job = JobRecord.of(tx.tuples(_SELECT_NEW, job_id=job_id)[0])
    changes = Changes(tx)
    failed = DependencyFailed(hold=needs.worst is Verdict.HOLD)
    changes.bring(Following(job, failed, needs.failure))
    changes.save()


def _place(now_us: int, run_at_us: int | None, priority: int, *, blocked: bool) -> _Place:
    if blocked:
        begins = rank(now_us, priority)
        return _Place(JobState.BLOCKED, PendingReason.DEPENDENCIES, None, begins)
    if run_at_us is not None and run_at_us > now_us:
        begins = rank(run_at_us, priority)
        return _Place(JobState.SCHEDULED, PendingReason.NOT_BEFORE, run_at_us, begins)
    return _Place(JobState.QUEUED, None, None, rank(now_us, priority))


def _refer_to_files(tx: Transaction, rows: Rows, new: NewJob) -> None:
    """Tie the job to its input files, or refuse it: it must run with exactly those bytes."""
    missing = []
    seen: set[str] = set()
    for index, given in enumerate(new.spec.inputs):
        if given.file in seen:
            continue
        seen.add(given.file)
        if tx.execute(_USE_FILE, now=tx.now_us, sha256=given.file):
            rows.add(_INSERT_FILE, job_id=new.id, sha256=given.file)
        else:
            missing.append((f"inputs.{index}.file", "no file with this SHA-256 is stored"))
    if missing:
        raise RequestInvalid(
            "a job names files that are not stored here",
            hint="upload each file first (POST /api/v1/files), then submit the job",
            fields=tuple(missing),
            code="input_missing",
        )
