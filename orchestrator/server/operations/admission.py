"""What a worker in quarantine may still be given: its canary, and what nobody else could do.

Decided anew by each of its claims, of the fleet as it is in that moment, so that no job waits for a
worker that is not there any more. The answer is kept with what the session satisfies, for the claim
itself and for whoever asks why a job waits.
"""

from typing import Final

from orchestrator.core.breaker import Breaker, BreakerEvent
from orchestrator.core.lease import OFFLINE_US
from orchestrator.protocol.words import BreakerState
from orchestrator.server.operations.breakers import change, read_breaker
from orchestrator.server.operations.lease_clock import read_lease_clock
from orchestrator.server.store.interface import Reader, Transaction

# Whoever was quarantined last goes on, so that of two who could do something, one does.
_FITS: Final = """
    SELECT fits.requirement_id, fits.barred, EXISTS (
        SELECT 1 FROM session_requirement AS other
        JOIN session ON session.id = other.session_id
        LEFT JOIN breaker ON breaker.worker_id = session.worker_id
        WHERE other.requirement_id = fits.requirement_id AND other.session_id <> :session_id
            AND session.ended_us IS NULL AND session.slots > 0
            AND session.renewed_lease_us > :since
            AND (breaker.state IS NULL OR breaker.state = 'closed'
                OR (breaker.state <> 'forced' AND (breaker.opened_us > :opened_us
                    OR (breaker.opened_us = :opened_us AND breaker.worker_id > :worker_id))))
    ) AS served
    FROM session_requirement AS fits WHERE fits.session_id = :session_id
"""
_SET_BARRED: Final = """
    UPDATE session_requirement SET barred = :barred
    WHERE session_id = :session_id AND requirement_id = :requirement_id
"""
_ON_TRIAL: Final = """
    SELECT job.id FROM job
    JOIN attempt ON attempt.job_id = job.id AND attempt.number = job.attempt
    WHERE job.session_id = :session_id AND attempt.claimed_us >= :since
    ORDER BY attempt.claimed_us, job.id LIMIT 1
"""


def admit(tx: Transaction, session_id: str, worker_id: str, *, slots: int) -> int:
    """Bring up to date what a session in quarantine is barred from; return how much it may have."""
    breaker = read_breaker(tx, worker_id)
    if breaker.is_due(tx.now_us):
        breaker = change(tx, worker_id, breaker, BreakerEvent.PAUSED_ENOUGH)
    served = _served(tx, session_id, worker_id, breaker)
    alone = frozenset(number for number, (_, by_others) in served.items() if not by_others)
    if breaker.state is BreakerState.FORCED:
        alone = frozenset()
    canary = breaker.state is BreakerState.HALF_OPEN and canary_of(tx, session_id, breaker) is None
    allowed = frozenset(served) if canary else alone
    tx.many(
        _SET_BARRED,
        [
            {
                "session_id": session_id,
                "requirement_id": number,
                "barred": int(number not in allowed),
            }
            for number, (barred, _) in served.items()
            if bool(barred) is (number in allowed)
        ],
    )
    if canary:
        return min(slots, 1)
    return slots if allowed else 0


def _served(
    reader: Reader, session_id: str, worker_id: str, breaker: Breaker
) -> dict[int, tuple[bool, bool]]:
    """Return what a session satisfies: whether it is barred from it, and whether others do it."""
    rows = reader.rows(
        _FITS,
        session_id=session_id,
        worker_id=worker_id,
        opened_us=breaker.opened_us,
        since=read_lease_clock(reader).now - OFFLINE_US,
    )
    return {row["requirement_id"]: (bool(row["barred"]), bool(row["served"])) for row in rows}


def does_alone(reader: Reader, session_id: str, worker_id: str, breaker: Breaker) -> bool:
    """Tell whether a worker in quarantine goes on with something because nobody else could."""
    if breaker.state is BreakerState.FORCED:
        return False
    served = _served(reader, session_id, worker_id, breaker)
    return any(not by_others for _, by_others in served.values())


def canary_of(reader: Reader, session_id: str, breaker: Breaker) -> str | None:
    """Return the job whose end decides about a worker that is on trial, if it has one."""
    if breaker.state is not BreakerState.HALF_OPEN:
        return None
    found = reader.row(_ON_TRIAL, session_id=session_id, since=breaker.since_us)
    return None if found is None else found["id"]
