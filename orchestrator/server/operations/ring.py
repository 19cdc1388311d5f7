"""What happens at a moment: jobs fall due, expire, run out of time, or are looked after late.

The alarm asks for it when the earliest of those moments comes. Each part does a bounded amount.
"""

from typing import Final

from orchestrator.core.job import NeverStarted, TimeRanOut, decide
from orchestrator.server.operations.batches import stop_some
from orchestrator.server.operations.cancel import order
from orchestrator.server.operations.changes import Changes, encoded
from orchestrator.server.operations.dependents import take_due
from orchestrator.server.operations.records import JOB_COLUMNS, JobRecord
from orchestrator.server.operations.upkeep import BATCH, next_due, queue_due
from orchestrator.server.store.interface import Reader, Transaction

PARENTS: Final = 100
"""Jobs whose dependants are looked after in one go; how many those are is bounded elsewhere."""

_SELECT_EXPIRED: Final = f"""
    SELECT {JOB_COLUMNS} FROM job
    WHERE expires_us IS NOT NULL AND session_id IS NULL AND expires_us <= :now
    ORDER BY expires_us, id LIMIT :limit
"""
_SELECT_LATE: Final = f"""
    SELECT {JOB_COLUMNS} FROM job
    WHERE deadline_us IS NOT NULL AND deadline_us <= :now ORDER BY deadline_us, id LIMIT :limit
"""
_NEXT: Final = (
    "SELECT min(expires_us) FROM job WHERE expires_us IS NOT NULL AND session_id IS NULL",
    "SELECT min(deadline_us) FROM job WHERE deadline_us IS NOT NULL",
    # Any moment that has passed means: at once.
    "SELECT min(0) FROM dependency_due",
    "SELECT min(0) FROM batch WHERE stopping_before IS NOT NULL",
)


def ring(tx: Transaction) -> bool:
    """Do what its moment has come for; tell whether there may be more of it."""
    more = [_expire(tx), _end_late(tx), stop_some(tx), _follow_left(tx), queue_due(tx)]
    return any(more)


def next_ring(reader: Reader) -> int | None:
    """Return the next moment for which there is something to do."""
    found = [next_due(reader), *(reader.tuples(sql)[0][0] for sql in _NEXT)]
    return min((moment for moment in found if moment is not None), default=None)


def _expire(tx: Transaction) -> bool:
    """End jobs that nobody started in time."""
    rows = tx.tuples(_SELECT_EXPIRED, now=tx.now_us, limit=BATCH)
    changes = Changes(tx)
    for row in rows:
        job = JobRecord.of(row)
        change = decide(job.rules(), NeverStarted(), now_us=tx.now_us)
        job.message = "it was not started in time"
        changes.become(job, change)
    changes.save()
    return len(rows) == BATCH


def _end_late(tx: Transaction) -> bool:
    """End jobs that are not over in time; what runs of them is cancelled first."""
    rows = tx.tuples(_SELECT_LATE, now=tx.now_us, limit=BATCH)
    changes = Changes(tx)
    words = encoded({"by": "policy", "comment": "its deadline_s is over"})
    for row in rows:
        job = JobRecord.of(row)
        change = decide(job.rules(), TimeRanOut(), now_us=tx.now_us)
        job.message = "it was not over within its deadline_s"
        order(changes, job, change, words)
    changes.save()
    return len(rows) == BATCH


def _follow_left(tx: Transaction) -> bool:
    """Look after dependants that were too many for the commit in which their parent ended."""
    parents = take_due(tx, limit=PARENTS)
    if parents:
        changes = Changes(tx)
        changes.follow(parents)
        changes.save()
    return bool(parents)
