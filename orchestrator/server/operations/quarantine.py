"""People and the quarantine of workers: see why, keep a worker out, let it in again."""

from typing import Final

from orchestrator.core.breaker import Breaker, BreakerEvent
from orchestrator.kernel.errors import AlreadyExists, NotFound
from orchestrator.protocol.base import moment, moment_or_none
from orchestrator.protocol.views import FaultView, QuarantineView
from orchestrator.protocol.words import BreakerState
from orchestrator.server.operations.admission import canary_of, does_alone
from orchestrator.server.operations.breakers import change, read_breaker
from orchestrator.server.store.interface import Reader, Transaction

_NAMED: Final = """
    SELECT id FROM worker WHERE name = :worker OR id = :worker ORDER BY id
"""
_FAULTS: Final = """
    SELECT job_id, attempt, reason, at_us, verdict FROM worker_fault
    WHERE worker_id = :worker_id AND verdict <> 'excused' ORDER BY at_us DESC, job_id LIMIT :most
"""
_MOST_SHOWN: Final = 20


def worker_named(reader: Reader, worker: str) -> str:
    """Return the id of the worker that has this name or id, and of no two."""
    found = [row["id"] for row in reader.rows(_NAMED, worker=worker)]
    if not found:
        raise NotFound(f"there is no worker {worker}", hint="see orchestrator workers list")
    if len(found) > 1:
        raise AlreadyExists(
            f"{len(found)} workers have the name {worker}",
            hint=f"say which by its id: {', '.join(found)}",
            code="worker_ambiguous",
        )
    return str(found[0])


def quarantine(tx: Transaction, worker: str, *, by: str, reason: str) -> str:
    """Give a worker no more jobs until somebody releases it; what it runs goes on."""
    worker_id = worker_named(tx, worker)
    breaker = read_breaker(tx, worker_id)
    change(tx, worker_id, breaker, BreakerEvent.QUARANTINED, why=reason, by=by)
    return worker_id


def release(tx: Transaction, worker: str, *, by: str, reason: str) -> str:
    """Trust a worker again, and forget what spoke against it; twice is once."""
    worker_id = worker_named(tx, worker)
    breaker = read_breaker(tx, worker_id)
    if breaker.state is not BreakerState.CLOSED:
        change(tx, worker_id, breaker, BreakerEvent.RELEASED, why=reason, by=by)
    return worker_id


def quarantine_view(
    reader: Reader, breaker: Breaker, *, worker_id: str, session_id: str | None
) -> QuarantineView | None:
    """Return what people are told of a worker's quarantine; `None` for one that is trusted."""
    if breaker.state is BreakerState.CLOSED:
        return None
    rows = reader.rows(_FAULTS, worker_id=worker_id, most=_MOST_SHOWN)
    return QuarantineView(
        state=breaker.state,
        since=moment(breaker.opened_us),
        why=breaker.why or "",
        until=moment_or_none(breaker.next_us),
        by=breaker.by,
        times=breaker.trips,
        serves=session_id is not None and does_alone(reader, session_id, worker_id, breaker),
        canary=None if session_id is None else canary_of(reader, session_id, breaker),
        faults=[
            FaultView(
                job_id=row["job_id"],
                attempt=row["attempt"],
                reason=row["reason"],
                at=moment(row["at_us"]),
                succeeded_elsewhere=row["verdict"] == "elsewhere",
            )
            for row in rows
        ],
    )
