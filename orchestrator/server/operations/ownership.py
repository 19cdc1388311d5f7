"""Who may speak in the name of a session.

An unknown session and somebody else's are one answer, so that ids cannot be probed.
"""

from dataclasses import dataclass

from orchestrator.kernel.errors import LeaseLost, NotFound
from orchestrator.server.store.interface import Reader, Row

_SELECT = """
    SELECT session.id, session.worker_id, spool_id, slots, claim_number, renewed_lease_us, ended_us,
        offline_us, breaker.state AS breaker
    FROM session LEFT JOIN breaker ON breaker.worker_id = session.worker_id
    WHERE session.id = :session_id AND session.worker_id = :worker_id
"""


@dataclass(frozen=True, slots=True)
class AttemptKey:
    """An attempt, and the session that speaks for it."""

    job_id: str
    attempt: int
    session_id: str


def own_session(reader: Reader, session_id: str, worker_id: str) -> Row:
    """Return a worker's session, whether or not it is over."""
    row = reader.row(_SELECT, session_id=session_id, worker_id=worker_id)
    if row is None:
        raise NotFound(f"there is no session {session_id}", hint="open a new session")
    return row


def open_session_of(reader: Reader, session_id: str, worker_id: str) -> Row:
    """Return a worker's session, or refuse it when it is over."""
    row = own_session(reader, session_id, worker_id)
    if row["ended_us"] is not None:
        raise LeaseLost(
            f"the session {session_id} is over",
            hint="open a new session; it is told what to keep",
            code="session_ended",
        )
    return row
