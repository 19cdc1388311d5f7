"""Give a session attempts, in one statement for all of them.

The statement is the pure rule `Claimed` written as SQL: only a queued job, the best ranked first,
the attempt number one higher, and the session named as the one that is entitled. A model test holds
the two against each other.
"""

from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from pydantic_core import from_json

from orchestrator.core.matching import lacks
from orchestrator.core.wish import Wished, objection
from orchestrator.kernel.errors import NotClaimable
from orchestrator.kernel.failpoints import reached
from orchestrator.protocol.wire import ClaimRequest, Grant
from orchestrator.protocol.words import BreakerState, JobEventType, JobState
from orchestrator.server.facts import JobChanged
from orchestrator.server.operations.admission import admit
from orchestrator.server.operations.changes import INSERT_EVENT, encoded
from orchestrator.server.operations.lease_clock import read_lease_clock
from orchestrator.server.operations.ownership import open_session_of
from orchestrator.server.operations.requirements import offer_of, requirement_of_row
from orchestrator.server.store.interface import Row, Transaction
from orchestrator.server.store.statement import Statement

_TAKE: Final = """)
    UPDATE job SET state = 'leased', pending_reason = 'starting',
        attempt = 1 + CASE WHEN attempt_floor > attempt THEN attempt_floor ELSE attempt END,
        session_id = :session_id, worker_id = :worker_id, event_seq = event_seq + 1,
        started_us = NULL
    WHERE state = 'queued' AND id IN (SELECT id FROM pick)
    RETURNING id AS job_id, attempt AS number, event_seq, rank, requirement_id,
        (SELECT spec FROM job_spec WHERE job_spec.job_id = job.id) AS spec
"""
# The first few of each queue that fits, and of those the first few. SQLite has no LATERAL, and
# PostgreSQL would look at every job there is to answer an IN that depends on the row beside it.
_CLAIM: Final = Statement(
    f"""
    WITH pick AS (
        SELECT job.id FROM session_requirement AS fits
        JOIN job ON job.id IN (
            SELECT queued.id FROM job AS queued
            WHERE queued.state = 'queued' AND queued.requirement_id = fits.requirement_id
            ORDER BY queued.rank, queued.id LIMIT :slots
        )
        WHERE fits.session_id = :session_id AND fits.barred = 0
        ORDER BY job.rank, job.id LIMIT :slots
    {_TAKE}
    """,
    postgres=f"""
    WITH pick AS (
        SELECT first.id FROM session_requirement AS fits
        CROSS JOIN LATERAL (
            SELECT queued.id, queued.rank FROM job AS queued
            WHERE queued.state = 'queued' AND queued.requirement_id = fits.requirement_id
            ORDER BY queued.rank, queued.id LIMIT :slots
        ) AS first
        WHERE fits.session_id = :session_id AND fits.barred = 0
        ORDER BY first.rank, first.id LIMIT :slots
    {_TAKE}
    """,
)
_CLAIM_WISHED: Final = f"""
    WITH pick AS (
        SELECT job.id FROM job JOIN session_requirement AS fits
            ON fits.requirement_id = job.requirement_id AND fits.session_id = :session_id
                AND fits.barred = 0
        WHERE job.id = :job_id AND job.state = 'queued'
    {_TAKE}
"""
_WISHED: Final = """
    SELECT job.state, holder.name AS holder, requirement.kind, requirement.tags,
        requirement.platform, requirement.worker
    FROM job LEFT JOIN requirement ON requirement.id = job.requirement_id
        LEFT JOIN worker AS holder ON holder.id = job.worker_id
    WHERE job.id = :job_id
"""
_ASKING: Final = """
    SELECT session.worker_id, worker.name, session.platform, session.kinds, session.tags,
        machine.arch
    FROM session JOIN worker ON worker.id = session.worker_id
        JOIN machine ON machine.id = worker.machine_id
    WHERE session.id = :session_id
"""
_INSERT_ATTEMPT: Final = """
    INSERT INTO attempt (job_id, number, session_id, worker_id, claim_number, claimed_us,
        claimed_lease_us)
    VALUES (:job_id, :attempt, :session_id, :worker_id, :claim_number, :at_us, :lease_now)
"""
_REMEMBER: Final = """
    UPDATE session SET claim_number = :number
    WHERE id = :session_id AND ended_us IS NULL AND claim_number < :number
"""
_AGAIN: Final = """
    SELECT job.id AS job_id, job.attempt AS number, job_spec.spec
    FROM job
    JOIN attempt ON attempt.job_id = job.id AND attempt.number = job.attempt
    JOIN job_spec ON job_spec.job_id = job.id
    WHERE job.session_id = :session_id AND attempt.claim_number = :number
    ORDER BY job.rank, job.id
"""


class Given(NamedTuple):
    """What a claim is given. One whose number is not `fresh` will never be given anything else.

    `taken` counts what left the queue just now, by requirement. One that is `restricted` asks for
    a worker in quarantine: what waits may not be for it, and that changes with every other worker.
    """

    grants: list[Grant]
    fresh: bool
    restricted: bool = False
    taken: Mapping[int, int] = MappingProxyType({})


def claim(tx: Transaction, request: ClaimRequest, *, worker_id: str) -> Given:
    """Return attempts that are now the session's, or the same ones as before for a known number.

    A number below the last one that was answered belongs to a call that went astray: its caller is
    not listening any more, so it is given nothing that it would lose.
    """
    session = open_session_of(tx, request.session_id, worker_id)
    if request.number < session["claim_number"]:
        return Given([], fresh=False)
    if request.number == session["claim_number"]:
        rows = tx.rows(_AGAIN, session_id=request.session_id, number=request.number)
        return Given([_grant(row) for row in rows], fresh=False)
    slots, restricted = request.slots, session["breaker"] not in {None, BreakerState.CLOSED}
    if restricted:
        slots = admit(tx, request.session_id, worker_id, slots=slots)
    if slots == 0:
        return Given([], fresh=True, restricted=True)
    if request.job_id is not None:
        rows = _wished(tx, request, request.job_id, worker_id=worker_id)
    else:
        rows = tx.rows(_CLAIM, session_id=request.session_id, worker_id=worker_id, slots=slots)
    if rows:
        rows.sort(key=lambda row: (row["rank"], row["job_id"]))
        _record(tx, request, rows, worker_id=worker_id)
    reached("claim.before_commit")
    taken = Counter(row["requirement_id"] for row in rows)
    return Given([_grant(row) for row in rows], fresh=True, taken=taken, restricted=restricted)


def _wished(tx: Transaction, request: ClaimRequest, job_id: str, *, worker_id: str) -> list[Row]:
    """Return the one job that is asked for; nothing while it may still come."""
    session_id = request.session_id
    rows = tx.rows(_CLAIM_WISHED, session_id=session_id, worker_id=worker_id, job_id=job_id)
    if rows:
        return rows
    job = tx.row(_WISHED, job_id=job_id)
    if job is None:
        raise NotClaimable(f"there is no job {job_id}", hint="see orchestrator jobs list")
    asking = tx.row(_ASKING, session_id=session_id)
    unmet = () if job["kind"] is None or asking is None else _lacks(asking, job)
    told = objection(Wished(job_id, JobState(job["state"]), job["holder"], unmet))
    if told is not None:
        raise NotClaimable(told.message, hint=told.hint)
    return []


def _lacks(asking: Row, job: Row) -> tuple[str, ...]:
    return lacks(offer_of(asking), requirement_of_row(job))


def _record(tx: Transaction, request: ClaimRequest, rows: list[Row], *, worker_id: str) -> None:
    common: dict[str, Any] = {
        "session_id": request.session_id,
        "worker_id": worker_id,
        "claim_number": request.number,
        "at_us": tx.now_us,
        "lease_now": read_lease_clock(tx).now,
        "type": JobEventType.CLAIMED.value,
        "data": encoded({"worker": worker_id}),
    }
    params = [
        {**common, "job_id": row["job_id"], "attempt": row["number"], "seq": row["event_seq"]}
        for row in rows
    ]
    tx.many(_INSERT_ATTEMPT, params)
    tx.many(INSERT_EVENT, params)
    tx.execute(_REMEMBER, session_id=request.session_id, number=request.number)
    for row in rows:
        tx.announce(JobChanged(row["job_id"]))


def _grant(row: Row) -> Grant:
    spec = from_json(row["spec"])
    return Grant(
        job_id=row["job_id"],
        attempt=row["number"],
        kind=spec["kind"],
        params=spec["params"],
        name=spec["name"],
        env=spec["env"],
        timeout_s=spec["timeout_s"],
        silence_s=spec["silence_s"],
        grace_s=spec["grace_s"],
        inputs=spec["inputs"],
        execution=spec["execution"],
    )
