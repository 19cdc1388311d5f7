"""End attempts that nobody can or will report: given back unstarted, or lost.

Three operations come here: a new session that does not know an old one's attempts, a heartbeat that
does not list a grant, and the reaper. The core says what becomes of the job.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from orchestrator.core.job import Lost, Released, decide
from orchestrator.protocol.words import Outcome, Reason
from orchestrator.server.operations.changes import Changes
from orchestrator.server.operations.records import (
    ATTEMPT_COLUMNS,
    JOB_COLUMNS,
    JOB_WIDTH,
    AttemptRecord,
    Held,
    JobRecord,
)
from orchestrator.server.store.interface import Reader, Transaction

SELECT_HELD: Final = f"""
    SELECT {JOB_COLUMNS}, {ATTEMPT_COLUMNS}
    FROM job JOIN attempt ON attempt.job_id = job.id AND attempt.number = job.attempt
"""
"""Live attempts with their jobs; `job.session_id` says who holds them."""
STATED: Final = frozenset({Outcome.LOST, Outcome.INDETERMINATE, Outcome.RELEASED})
"""Ends that the server may have stated: a worker that still speaks of the attempt must stop it."""
_SELECT_HELD_BY: Final = f"{SELECT_HELD} WHERE job.session_id = :session_id ORDER BY job.id"


def held_of(values: Sequence[Any]) -> Held:
    """Return an attempt with its job, of a tuple of `SELECT_HELD`."""
    return Held(JobRecord.of(values), AttemptRecord.of(values[JOB_WIDTH:]))


def held_by(reader: Reader, session_id: str) -> list[Held]:
    """Return everything that a session is entitled to."""
    return [held_of(values) for values in reader.tuples(_SELECT_HELD_BY, session_id=session_id)]


def give_back(tx: Transaction, changes: Changes, unstarted: Iterable[Held]) -> None:
    """Put jobs back in the queue of whose attempts nothing ran."""
    for held in unstarted:
        change = decide(held.job.rules(), Released(), now_us=tx.now_us)
        changes.end(held, Outcome.RELEASED, change)


def lose(tx: Transaction, changes: Changes, lost: Iterable[Held], outcome: Outcome) -> None:
    """End attempts of which nobody knows how they ended; the policy says what follows."""
    for held in lost:
        change = decide(held.job.rules(), Lost(), now_us=tx.now_us, draw=held.job.draw())
        held.attempt.reason = Reason.WORKER_LOST
        held.attempt.message = _words(held, outcome)
        changes.end(held, outcome, change)


def _words(held: Held, outcome: Outcome) -> str:
    """Return what a person is told instead of an end."""
    who = "was not heard of any more" if outcome is Outcome.LOST else "does not know it any more"
    if held.attempt.started_us is None:
        return f"its worker {who}, and had not said that the command runs"
    return f"its worker {who}; nobody knows how the command ended"
