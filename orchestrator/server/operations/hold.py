"""Keep jobs back that have not begun, and let them go again."""

from collections.abc import Callable, Iterable
from typing import Final

from orchestrator.core.job import Change, HoldAsked, ReleaseAsked, decide
from orchestrator.kernel.errors import IllegalTransition
from orchestrator.protocol.views import HoldReply, JobView, Refusal
from orchestrator.protocol.words import JobEventType, JobState
from orchestrator.server.facts import Scheduled
from orchestrator.server.operations.changes import Changes, encoded
from orchestrator.server.operations.dependents import standing
from orchestrator.server.operations.jobs import view_job
from orchestrator.server.operations.records import JOB_COLUMNS, JOB_WIDTH, JobRecord
from orchestrator.server.store.interface import Transaction

_SELECT: Final = f"SELECT {JOB_COLUMNS}, job.held_due_us, job.run_at_us FROM job WHERE id = :job_id"
_KEEP_DUE: Final = "UPDATE job SET held_due_us = :due_us WHERE id = :job_id"
Decision = Callable[[JobRecord, int | None], Change]


def hold(tx: Transaction, ids: Iterable[str], *, by: str, comment: str | None = None) -> HoldReply:
    """Keep jobs back. What has begun or is over is refused, one by one; twice is once."""

    def decided(job: JobRecord, _: int | None) -> Change:
        try:
            return decide(job.rules(), HoldAsked(), now_us=tx.now_us)
        except IllegalTransition as error:
            what = f"it is {job.state}; only a job that has not begun can be kept back"
            raise IllegalTransition(what) from error

    return _Orders(tx, JobEventType.HELD, by, comment).give(ids, decided)


def release(
    tx: Transaction, ids: Iterable[str], *, by: str, comment: str | None = None
) -> HoldReply:
    """Let held jobs go on, in their old place. What is not held is refused, one by one."""

    def decided(job: JobRecord, due_us: int | None) -> Change:
        if job.state is not JobState.HELD:
            raise IllegalTransition(f"it is {job.state}; only a held job can be let go")
        found = standing(tx, job.id)
        job.message = found.failure
        asked = ReleaseAsked(due_us, blocked=found.is_open, failed=found.failure is not None)
        return decide(job.rules(), asked, now_us=tx.now_us)

    return _Orders(tx, JobEventType.RELEASED_BY_USER, by, comment).give(ids, decided)


class _Orders:
    """One order for many jobs."""

    def __init__(self, tx: Transaction, told: JobEventType, by: str, comment: str | None) -> None:
        self._tx = tx
        self._told = told
        self._refused = "not_waiting" if told is JobEventType.HELD else "not_held"
        self._words = encoded({"by": by, "comment": comment})

    def give(self, ids: Iterable[str], decided: Decision) -> HoldReply:
        """Do it to each job, and return all of them, with what was refused."""
        done: list[JobView] = []
        refused: list[Refusal] = []
        for job_id in dict.fromkeys(ids):
            try:
                found = self._one(job_id, decided)
            except IllegalTransition as error:
                refused.append(Refusal(id=job_id, code=self._refused, detail=error.message))
                continue
            if found is None:
                refused.append(Refusal(id=job_id, code="not_found", detail="there is no such job"))
            else:
                done.append(found)
        return HoldReply(items=done, refused=refused)

    def _one(self, job_id: str, decided: Decision) -> JobView | None:
        rows = self._tx.tuples(_SELECT, job_id=job_id)
        if not rows:
            return None
        job, held_due_us = JobRecord.of(rows[0]), rows[0][JOB_WIDTH]
        due_us = rows[0][JOB_WIDTH + 1] if job.state is JobState.BLOCKED else job.due_us
        change = decided(job, held_due_us)
        if change.path:
            changes = Changes(self._tx)
            changes.tell(job, self._told, data=self._words)
            changes.become(job, change)
            if change.state is JobState.SCHEDULED and change.due_us is not None:
                changes.announce(Scheduled(change.due_us))
            changes.save()
            kept = due_us if change.state is JobState.HELD else None
            self._tx.execute(_KEEP_DUE, job_id=job_id, due_us=kept)
        return view_job(self._tx, job_id)
