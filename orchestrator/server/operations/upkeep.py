"""What must happen although nobody asks for it: jobs fall due, leases end, the lease clock goes on.

Each function does a bounded amount and says whether to call it again, so none of them holds up its
neighbours in a commit for long.
"""

from dataclasses import dataclass
from typing import Final

from orchestrator.core.job import FellDue, decide
from orchestrator.core.lease import OFFLINE_US, advanced
from orchestrator.kernel.failpoints import reached
from orchestrator.protocol.words import JobEventType, Outcome
from orchestrator.server.operations.changes import Changes
from orchestrator.server.operations.lease_clock import LeaseClock, read_lease_clock
from orchestrator.server.operations.losses import SELECT_HELD, held_by, held_of, lose
from orchestrator.server.operations.rates import call_out_opened, next_opening
from orchestrator.server.operations.records import JOB_COLUMNS, JobRecord
from orchestrator.server.operations.tokens import end_retired_in_time
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
    ORDER BY job.session_id, job.id LIMIT :limit
"""


@dataclass(frozen=True, slots=True)
class Tick:
    """What a tick did; `more` says that it had to stop early and should be called again at once."""

    lost: int
    more: bool


_SELECT_SILENT: Final = """
    SELECT id FROM session
    WHERE ended_us IS NULL AND offline_us IS NULL AND renewed_lease_us <= :silent
    ORDER BY worker_id LIMIT :limit
"""
_TELL_ALL_LIVE: Final = f"""
    INSERT INTO job_event (job_id, seq, at_us, type, attempt)
    SELECT id, event_seq + 1, :now, '{JobEventType.SERVER_RESTARTED}', attempt FROM job
    WHERE session_id IS NOT NULL
"""
_TOUCH_ALL_LIVE: Final = "UPDATE job SET event_seq = event_seq + 1 WHERE session_id IS NOT NULL"
SILENT: Final = 10
"""Sessions in one go: each may hold a thousand attempts."""


def begin(tx: Transaction) -> None:
    """Note that a server starts: no lease ends before one whole lease from now.

    Who looks at a job that ran meanwhile must not wonder about a hole in its story.
    """
    tx.execute("UPDATE lease_clock SET floor_lease_us = now_lease_us WHERE one = 1")
    tx.execute(_TELL_ALL_LIVE, now=tx.now_us)
    tx.execute(_TOUCH_ALL_LIVE)
    reached("startup.recovery")


def tick(tx: Transaction, *, elapsed_us: int) -> Tick:
    """Let the lease clock go on by what a monotonic clock measured, and end leases that ran out."""
    clock = read_lease_clock(tx)
    clock = LeaseClock(advanced(clock.now, elapsed_us=elapsed_us), clock.floor)
    tx.execute("UPDATE lease_clock SET now_lease_us = :now WHERE one = 1", now=clock.now)
    end_retired_in_time(tx)
    rows = tx.tuples(_SELECT_OVER, over=clock.over, limit=BATCH)
    changes = Changes(tx)
    lose(tx, changes, [held_of(row) for row in rows], Outcome.LOST)
    changes.save()
    reached("reaper.mid_batch")
    silent = _note_silence(tx, clock)
    return Tick(lost=len(rows), more=len(rows) == BATCH or silent == SILENT)


def _note_silence(tx: Transaction, clock: LeaseClock) -> int:
    """Note in the stories of their jobs that workers are not heard of; return how many are not."""
    silent = tx.rows(_SELECT_SILENT, silent=clock.now - OFFLINE_US, limit=SILENT)
    changes = Changes(tx)
    for row in silent:
        for held in held_by(tx, row["id"]):
            changes.tell(held.job, JobEventType.WORKER_OFFLINE, attempt=held.attempt.number)
        tx.execute(
            "UPDATE session SET offline_us = :now WHERE id = :id", now=tx.now_us, id=row["id"]
        )
    changes.save()
    return len(silent)


def queue_due(tx: Transaction) -> bool:
    """Put jobs in the queue whose moment has come; tell whether there may be more of them.

    Those that waited in it for the moment of a rate limit are called out.
    """
    rows = tx.tuples(_SELECT_DUE, now=tx.now_us, limit=BATCH)
    changes = Changes(tx)
    for row in rows:
        job = JobRecord.of(row)
        change = decide(job.rules(), FellDue(), now_us=tx.now_us)
        changes.tell(job, JobEventType.FELL_DUE)
        changes.become(job, change)
    changes.save()
    if len(rows) == BATCH:
        return True
    call_out_opened(tx)
    return False


def next_due(reader: Reader) -> int | None:
    """Return when the next job or schedule falls due, or a rate lets one start: nobody need ask."""
    moments = [
        due_us
        for table in ("job", "schedule")
        for (due_us,) in reader.tuples(f"SELECT min(due_us) FROM {table} WHERE due_us IS NOT NULL")
    ]
    moments.append(next_opening(reader))
    return min((due_us for due_us in moments if due_us is not None), default=None)
