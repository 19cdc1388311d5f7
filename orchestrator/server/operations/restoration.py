"""Bring the jobs of a backup back: nothing of it runs again before somebody has looked at it.

A backup does not know what happened after it was made. Whatever was not over then may have run
since, so it is held; its next try gets a number that no worker can have seen; and a worker that
comes with a try from that time, which no row here knows, is heard of as with any late result. So is
one with a try that was given after another restore, of which this one has taken back everything.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from orchestrator.core.job import Restored, decide
from orchestrator.protocol.words import JobEventType, JobState, Outcome, Reason
from orchestrator.server.operations.changes import Changes, encoded
from orchestrator.server.operations.lease_clock import read_lease_clock
from orchestrator.server.operations.records import (
    ATTEMPT_COLUMNS,
    ATTEMPT_WIDTH,
    JOB_COLUMNS,
    JOB_WIDTH,
    NOT_OVER,
    AttemptRecord,
    Held,
    JobRecord,
)
from orchestrator.server.store.interface import Transaction, Value
from orchestrator.server.store.pairs import Pair, tuples_of_pairs

BATCH: Final = 500
"""Jobs in one go."""
LEAP: Final = 1 << 20
"""Below this a restore draws how far it numbers on; a million numbers are a quarter of an hour."""
_SELECT: Final = f"""
    SELECT {JOB_COLUMNS}, {ATTEMPT_COLUMNS}, job.held_due_us, job.run_at_us
    FROM job LEFT JOIN attempt
        ON attempt.job_id = job.id AND attempt.number = job.attempt AND attempt.outcome IS NULL
    WHERE job.state IN ({NOT_OVER}) AND job.id > :after ORDER BY job.id LIMIT :limit
"""
_KEEP: Final = """
    UPDATE job SET attempt_floor = :floor, held_due_us = :due_us
    WHERE id = :job_id AND state = 'held'
"""
_SELECT_UNKNOWN: Final = """
    SELECT job.id, wanted.column2
    FROM {pairs} JOIN job ON job.id = column1 AND job.attempt_floor IS NOT NULL
    LEFT JOIN attempt ON attempt.job_id = column1 AND attempt.number = column2
    WHERE attempt.job_id IS NULL
"""
_INSERT_UNKNOWN: Final = f"""
    INSERT INTO attempt (job_id, number, session_id, worker_id, claim_number, claimed_us,
        claimed_lease_us, finished_us, outcome, reason, message)
    VALUES (:job_id, :number, :session_id, :worker_id, 0, :now, :lease_now, :now,
        '{Outcome.INDETERMINATE}', '{Reason.RESTORED}', :message)
"""

_NUMBER_ON: Final = """
    UPDATE job SET attempt_floor = :number WHERE id = :job_id AND attempt_floor < :number
"""


def end_sessions(tx: Transaction) -> None:
    """End every session: each worker has to say anew what it holds."""
    tx.execute("UPDATE session SET ended_us = :now WHERE ended_us IS NULL", now=tx.now_us)
    tx.execute("DELETE FROM session_requirement")


def hold_restored(
    tx: Transaction, *, after: str, made_at: datetime | None, leap: int
) -> tuple[int, str]:
    """Hold some of the jobs that were not over when the backup was made at `made_at`.

    Return how many, and behind which id to go on: until there are none. What was being cancelled is
    cancelled, because that was promised.

    Tries are numbered on from the moment of the restore in milliseconds, and from `leap` behind it:
    a number below `LEAP` that is drawn anew for each restore. The moment alone is not enough, since
    a clock may be set back between two restores, and the second would give the first one's numbers.
    """
    rows = tx.tuples(_SELECT, after=after, limit=BATCH)
    changes = Changes(tx)
    kept = [_restored(tx, changes, values, made_at, leap) for values in rows]
    changes.save()
    tx.many(_KEEP, kept)
    return len(rows), rows[-1][0] if rows else after


def _restored(
    tx: Transaction,
    changes: Changes,
    values: Sequence[Any],
    made_at: datetime | None,
    leap: int,
) -> dict[str, Value]:
    """Decide about one job; return what it keeps while it is held."""
    job, due_us = JobRecord.of(values), values[JOB_WIDTH + ATTEMPT_WIDTH]
    if job.state is JobState.BLOCKED:
        due_us = values[JOB_WIDTH + ATTEMPT_WIDTH + 1]
    elif job.state is not JobState.HELD:
        due_us = job.due_us
    change = decide(job.rules(), Restored(), now_us=tx.now_us)
    words = {"was": job.state, "made_at": made_at and f"{made_at:%Y-%m-%d %H:%M:%SZ}"}
    changes.tell(job, JobEventType.RESTORED, data=encoded(words))
    if values[JOB_WIDTH] is None:
        changes.become(job, change)
    else:
        attempt = AttemptRecord.of(values[JOB_WIDTH:])
        attempt.reason = Reason.RESTORED
        attempt.message = "it was under way when the backup was made; what came of it is not in it"
        changes.end(Held(job, attempt), Outcome.INDETERMINATE, change)
    floor = max(job.attempt, tx.now_us // 1000) + leap
    return {"job_id": job.id, "due_us": due_us, "floor": floor}


def note_unknown(
    tx: Transaction, pairs: Sequence[Pair], *, worker_id: str, session_id: str
) -> bool:
    """Give tries of the time that a restore took back a row, so that their ends can be kept.

    Tell whether there are any. Of a job that was brought back, whatever this database gave out has
    a row. What has none was given out by one that is no more, maybe with a number that is not
    reached here yet: the next one is behind it.
    """
    unknown = list(tuples_of_pairs(tx, _SELECT_UNKNOWN, pairs))
    if not unknown:
        return False
    common: dict[str, Value] = {
        "worker_id": worker_id,
        "session_id": session_id,
        "now": tx.now_us,
        "lease_now": read_lease_clock(tx).now,
        "message": "it was granted after the backup was made that was brought back since",
    }
    tries: list[dict[str, Value]] = [{"job_id": job, "number": number} for job, number in unknown]
    tx.many(_INSERT_UNKNOWN, [common | one for one in tries])
    tx.many(_NUMBER_ON, tries)
    return True
