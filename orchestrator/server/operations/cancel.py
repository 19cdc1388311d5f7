"""Let somebody end a job: at once when nothing of it runs, else when its processes are gone."""

from typing import Final

from orchestrator.core.job import CancelAsked, Change, decide
from orchestrator.kernel.errors import NotFound
from orchestrator.kernel.failpoints import reached
from orchestrator.protocol.views import JobView
from orchestrator.protocol.words import JobEventType, Outcome, Reason
from orchestrator.server.facts import OrderPending
from orchestrator.server.operations.changes import Changes, encoded
from orchestrator.server.operations.jobs import view_job
from orchestrator.server.operations.losses import SELECT_HELD, held_of
from orchestrator.server.operations.records import JOB_COLUMNS, JobRecord
from orchestrator.server.store.interface import Transaction

_SELECT: Final = f"SELECT {JOB_COLUMNS} FROM job WHERE id = :job_id"
_SELECT_HELD: Final = f"{SELECT_HELD} WHERE job.id = :job_id"


def cancel(
    tx: Transaction, job_id: str, *, by: str, comment: str | None = None, force: bool = False
) -> JobView:
    """Ask for a job's end and return it as it is now. Repeating it, or coming late, is no fault.

    By force the job is at its end now, and its slot is free. Its worker is told to abandon what it
    has; how that ended becomes a late result.
    """
    found = tx.tuples(_SELECT, job_id=job_id)
    if not found:
        raise not_found(job_id)
    job = JobRecord.of(found[0])
    change = decide(job.rules(), CancelAsked(force=force), now_us=tx.now_us)
    if change.path:
        changes = Changes(tx)
        words = encoded({"by": by, "comment": comment, "force": force or None})
        if force and job.session_id is not None:
            changes.announce(OrderPending(job.session_id))
            held = held_of(tx.tuples(_SELECT_HELD, job_id=job_id)[0])
            changes.tell(held.job, JobEventType.CANCEL_REQUESTED, data=words)
            held.attempt.reason = Reason.CANCELLED_BY_USER
            held.attempt.message = "ended by force: nobody has seen its processes end"
            changes.end(held, Outcome.INDETERMINATE, change)
        else:
            order(changes, job, change, words)
        changes.save()
    view = view_job(tx, job_id)
    if view is None:
        raise not_found(job_id)
    reached("cancel.before_commit")
    return view


def order(changes: Changes, job: JobRecord, change: Change, words: str | None) -> None:
    """Let a job be cancelled or cancelling as was decided, and its worker hear of it."""
    if job.session_id is not None:
        changes.announce(OrderPending(job.session_id))
    changes.tell(job, JobEventType.CANCEL_REQUESTED, data=words)
    changes.become(job, change)


def not_found(job_id: str) -> NotFound:
    """Return the one answer for a job that is not there and for one that is not yours."""
    return NotFound(f"there is no job {job_id}", hint="`orchestrator jobs list` shows them")
