"""Give a session attempts, in one statement for all of them.

Which jobs, the core decides, of the heads of the lines that fit. The statement that gives them is
the pure rule `Claimed` written as SQL: only a queued job, the attempt number one higher, and the
session named as the one that is entitled. A model test holds the two against each other.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import islice
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from pydantic_core import from_json

from orchestrator.core.gates import Gate
from orchestrator.core.matching import lacks
from orchestrator.core.order import Choice, Head, Pick, Waiting, choose, gathered
from orchestrator.core.wish import Wished, objection
from orchestrator.kernel.errors import NotClaimable, invariant
from orchestrator.kernel.failpoints import reached
from orchestrator.protocol.wire import ClaimRequest, Grant
from orchestrator.protocol.words import BreakerState, JobEventType, JobState
from orchestrator.server.facts import JobChanged, Scheduled
from orchestrator.server.operations.admission import admit
from orchestrator.server.operations.breakers import read_breaker
from orchestrator.server.operations.changes import INSERT_EVENT, encoded
from orchestrator.server.operations.gating import closed_gates, read_queues, read_usage
from orchestrator.server.operations.lease_clock import read_lease_clock
from orchestrator.server.operations.lines import has_limits, line_of_row
from orchestrator.server.operations.ownership import open_session_of
from orchestrator.server.operations.requirements import offer_of, requirement_of_row
from orchestrator.server.operations.standing import note_served, settle
from orchestrator.server.operations.walk import Walk, heads_from
from orchestrator.server.store.interface import Row, Transaction, Value
from orchestrator.server.store.statement import Statement

_TAKE: Final = """
    UPDATE job SET state = 'leased', pending_reason = 'starting',
        attempt = 1 + CASE WHEN attempt_floor > attempt THEN attempt_floor ELSE attempt END,
        session_id = :session_id, worker_id = :worker_id, event_seq = event_seq + 1,
        started_us = NULL
    WHERE state = 'queued' AND id IN ({ids})
    RETURNING id AS job_id, attempt AS number, event_seq, requirement_id, line_id, queue,
        (SELECT spec FROM job_spec WHERE job_spec.job_id = job.id) AS spec
"""
# Each line that fits and in which somebody waits, with its first job. SQLite has no LATERAL, and
# PostgreSQL would look at every job there is to answer an IN that depends on the row beside it.
_WAITING: Final = Statement(
    """
    SELECT line.id, line.queue, line.fairness_key, line.limits, turn.served_us,
        queue.max_running IS NULL AND queue.paused_us IS NULL AS is_open,
        head.rank, head.id, head.priority
    FROM session_requirement AS fits
    JOIN line ON line.requirement_id = fits.requirement_id AND line.waiting = 1
    JOIN queue ON queue.name = line.queue
    LEFT JOIN turn ON turn.queue = line.queue AND turn.fairness_key = line.fairness_key
    LEFT JOIN job AS head ON head.id = (
        SELECT queued.id FROM job AS queued
        WHERE queued.state = 'queued' AND queued.line_id = line.id
        ORDER BY queued.rank, queued.id LIMIT 1
    )
    WHERE fits.session_id = :session_id AND fits.barred = 0 LIMIT :most
    """,
    postgres="""
    SELECT line.id, line.queue, line.fairness_key, line.limits, turn.served_us,
        queue.max_running IS NULL AND queue.paused_us IS NULL AS is_open,
        head.rank, head.id, head.priority
    FROM session_requirement AS fits
    JOIN line ON line.requirement_id = fits.requirement_id AND line.waiting = 1
    JOIN queue ON queue.name = line.queue
    LEFT JOIN turn ON turn.queue = line.queue AND turn.fairness_key = line.fairness_key
    LEFT JOIN LATERAL (
        SELECT queued.id, queued.rank, queued.priority FROM job AS queued
        WHERE queued.state = 'queued' AND queued.line_id = line.id
        ORDER BY queued.rank, queued.id LIMIT 1
    ) AS head ON TRUE
    WHERE fits.session_id = :session_id AND fits.barred = 0 LIMIT :most
    """,
)
_SET_PASSED: Final = "UPDATE queue SET passed = :passed WHERE name = :name"
_INSERT_START: Final = """
    INSERT INTO rate_start (name, started_us, job_id, attempt)
    VALUES (:name, :at_us, :job_id, :attempt)
"""
EMPTY_KEPT: Final = 8
"""Lines that were found empty and may stay as they are: a look costs less than a write does, and
most lines are soon used again."""
AT_ONCE: Final = 12
"""Lines that are all looked at, in one statement; of more than that no more than it takes."""
_WISHED: Final = """
    SELECT job.state, job.rank, job.priority, job.line_id, holder.name AS holder, line.queue,
        line.fairness_key, line.limits, requirement.kind, requirement.tags, requirement.platform,
        requirement.worker,
        EXISTS (
            SELECT 1 FROM session_requirement AS fits
            WHERE fits.session_id = :session_id AND fits.barred = 0
                AND fits.requirement_id = job.requirement_id
        ) AS fits
    FROM job LEFT JOIN requirement ON requirement.id = job.requirement_id
        LEFT JOIN line ON line.id = job.line_id
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
_NOTE_CLAIM: Final = """
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
    if slots == 0 and request.job_id is None:
        return Given([], fresh=True, restricted=True)
    if request.job_id is not None:
        distrust = read_breaker(tx, worker_id).why or "" if restricted else None
        chosen, walk = _wished(tx, request, request.job_id, slots=slots, distrust=distrust), None
    else:
        chosen, walk = _chosen(tx, request.session_id, slots=slots)
    rows = _take(tx, chosen.picks, request, worker_id=worker_id)
    if rows:
        _record(tx, request, rows, worker_id=worker_id)
        _remember(tx, chosen, rows)
    if walk is None:
        note_served(tx, chosen.served)
    else:
        walk.remember(chosen)
    _wake_later(tx, chosen.gates)
    reached("claim.before_commit")
    taken = Counter(row["requirement_id"] for row in rows)
    return Given([_grant(row) for row in rows], fresh=True, taken=taken, restricted=restricted)


def _chosen(tx: Transaction, session_id: str, *, slots: int) -> tuple[Choice, Walk | None]:
    """Return whose turn it is among all that fit the session, and how they were gone through.

    A few lines are all looked at in one statement.
    """
    found = tx.tuples(_WAITING, session_id=session_id, most=AT_ONCE)
    if len(found) == AT_ONCE:
        walk = Walk(tx, session_id, slots=slots)
        return walk.choose(), walk
    empty = [number for number, *_, head_id, _ in found if head_id is None]
    if len(empty) > EMPTY_KEPT:
        settle(tx, empty)
    rows = [row for row in found if row[7] is not None]
    if not rows:
        return Choice(), None
    depth = -(-slots // len(rows))
    waiting = [
        Waiting(line_of_row(*row[:4]), heads_from(tx, row[0], Head(*row[6:]), depth), row[4] or 0)
        for row in rows
    ]
    if len(rows) == 1 and rows[0][5] and not has_limits(rows[0][0]):
        # Nobody to take turns with, and no gate: what most servers see most of the time.
        (one,) = waiting
        return Choice([Pick(head, one.line) for head in islice(one.heads, slots)]), None
    queues = read_queues(tx)
    usage = read_usage(tx, [one.line for one in waiting], queues)
    return choose(gathered(waiting), queues, usage, slots=slots, now_us=tx.now_us), None


def _wished(
    tx: Transaction, request: ClaimRequest, job_id: str, *, slots: int, distrust: str | None
) -> Choice:
    """Return the one job that is asked for; nothing while it may still come.

    `distrust` is why whoever asks is in quarantine: such a worker may have no slots for now.
    """
    job = tx.row(_WISHED, job_id=job_id, session_id=request.session_id)
    if job is None:
        raise NotClaimable(f"there is no job {job_id}", hint="see orchestrator jobs list")
    asking = tx.row(_ASKING, session_id=request.session_id)
    unmet = () if job["kind"] is None or asking is None else _lacks(asking, job)
    state = JobState(job["state"])
    gate = None
    if state is JobState.QUEUED:
        line = line_of_row(job["line_id"], job["queue"], job["fairness_key"], job["limits"])
        gate = closed_gates(tx, [line]).get(line.id)
        if gate is None and job["fits"] and slots:
            return Choice(picks=[Pick(Head(job["rank"], job_id, job["priority"]), line)])
    name = "" if asking is None else asking["name"]
    told = objection(Wished(job_id, state, job["holder"], unmet, gate, name, distrust))
    if told is not None:
        raise NotClaimable(told.message, hint=told.hint)
    return Choice()


def _take(
    tx: Transaction, picks: Sequence[Pick], request: ClaimRequest, *, worker_id: str
) -> list[Row]:
    """Give the jobs to the session, in the order in which they were chosen."""
    if not picks:
        return []
    room = 1 << (len(picks) - 1).bit_length()
    ids: list[str | None] = [pick.head.job_id for pick in picks]
    named = dict(zip(_names(room), ids + [None] * (room - len(ids)), strict=True))
    params = {"session_id": request.session_id, "worker_id": worker_id}
    rows = {row["job_id"]: row for row in tx.rows(_take_text(_TAKE, room), **params, **named)}
    invariant(len(rows) == len(picks), "a job changed while it was being given out")
    return [rows[pick.head.job_id] for pick in picks]


@lru_cache(maxsize=16)
def _names(room: int) -> tuple[str, ...]:
    return tuple(f"job_{index}" for index in range(room))


@lru_cache(maxsize=16)
def _take_text(sql: str, room: int) -> str:
    """Return the statement for that many jobs: a power of two, so that few texts are compiled."""
    return sql.replace("{ids}", ", ".join(f":{name}" for name in _names(room)))


def _remember(tx: Transaction, chosen: Choice, rows: list[Row]) -> None:
    """Keep what fairness needs to know next time, and the starts that a rate limit counts."""
    if chosen.passed:
        tx.many(_SET_PASSED, [{"name": name, "passed": at} for name, at in chosen.passed.items()])
    starts: list[dict[str, Value]] = [
        {"name": rate.key, "at_us": tx.now_us, "job_id": row["job_id"], "attempt": row["number"]}
        for pick, row in zip(chosen.picks, rows, strict=True)
        for rate in pick.line.rates
    ]
    if starts:
        tx.many(_INSERT_START, starts)


def _wake_later(tx: Transaction, gates: Sequence[Gate]) -> None:
    """Set the alarm for the moment at which the first rate limit lets somebody through."""
    until = [gate.until_us for gate in gates if gate.until_us is not None]
    if until:
        tx.announce(Scheduled(min(until)))


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
    tx.execute(_NOTE_CLAIM, session_id=request.session_id, number=request.number)
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
