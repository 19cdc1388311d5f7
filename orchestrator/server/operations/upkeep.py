"""What must happen although nobody asks for it: jobs fall due, leases end, the lease clock goes on.

Each function does a bounded amount and says whether to call it again, so none of them holds up its
neighbours in a commit for long.
"""

from dataclasses import dataclass
from typing import Final

from orchestrator.core.job import FellDue, decide
from orchestrator.core.lease import advanced
from orchestrator.protocol.words import JobEventType, Outcome
from orchestrator.server.operations.changes import Changes
from orchestrator.server.operations.lease_clock import LeaseClock, read_lease_clock
from orchestrator.server.operations.losses import SELECT_HELD, held_of, lose
from orchestrator.server.operations.records import JOB_COLUMNS, JobRecord
from orchestrator.server.store.interface import Reader, Transaction

BATCH: Final = 500
"""Jobs in one go: a few milliseconds of the writer."""

_SELECT_DUE: Final = f"""
    SELECT {JOB_COLUMNS} FROM job
    WHERE due_us IS NOT NULL AND due_us <= :now ORDER BY due_us, id LIMIT :limit
"""
_SELECT_OVER: Final = f"""
    {SELECT_HELD} JOIN session ON session.id = job.session_id
    WHERE attempt.claimed_lease_us + job.reattach_us <= :over
        AND session.renewed_lease_us + job.reattach_us <= :over
    ORDER BY job.session_id LIMIT :limit
"""


@dataclass(frozen=True, slots=True)
class Tick:
    """What a tick did; `more` says that it had to stop early and should be called again at once."""

    lost: int
    more: bool


def begin(tx: Transaction) -> None:
    """Note that a server starts: no lease ends before one whole lease from now."""
    tx.execute("UPDATE lease_clock SET floor_lease_us = now_lease_us WHERE one = 1")


def tick(tx: Transaction, *, elapsed_us: int) -> Tick:
    """Let the lease clock go on by what a monotonic clock measured, and end leases that ran out."""
    clock = read_lease_clock(tx)
    clock = LeaseClock(advanced(clock.now, elapsed_us=elapsed_us), clock.floor)
    tx.execute("UPDATE lease_clock SET now_lease_us = :now WHERE one = 1", now=clock.now)
    rows = tx.tuples(_SELECT_OVER, over=clock.over, limit=BATCH)
    changes = Changes(tx)
    lose(tx, changes, [held_of(row) for row in rows], Outcome.LOST)
    changes.save()
    return Tick(lost=len(rows), more=len(rows) == BATCH)


def queue_due(tx: Transaction) -> bool:
    """Put jobs in the queue whose moment has come; tell whether there may be more of them."""
    rows = tx.tuples(_SELECT_DUE, now=tx.now_us, limit=BATCH)
    changes = Changes(tx)
    for row in rows:
        job = JobRecord.of(row)
        change = decide(job.rules(), FellDue(), now_us=tx.now_us)
        changes.tell(job, JobEventType.FELL_DUE)
        changes.become(job, change)
    changes.save()
    return len(rows) == BATCH


def next_due(reader: Reader) -> int | None:
    """Return when the next job falls due, so that nobody has to ask before."""
    row = reader.row("SELECT min(due_us) AS due_us FROM job WHERE due_us IS NOT NULL")
    return None if row is None else row["due_us"]
