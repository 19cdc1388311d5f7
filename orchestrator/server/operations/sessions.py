"""A worker process begins and ends: what its spool still holds meets what the server believes.

A worker has one session at a time. A new session with the same spool takes over what the old one
was entitled to, as far as the spool still knows of it; with another spool it must wait until the
old one's lease is over, because two processes with one name would otherwise undo each other's work.
"""

import json
from collections.abc import Collection
from typing import Final

from orchestrator.core.matching import Offer
from orchestrator.kernel.errors import AlreadyExists, LeaseLost, NotFound
from orchestrator.kernel.failpoints import reached
from orchestrator.protocol.limits import HEARTBEAT_S, LEASE_S, PROGRESS_S
from orchestrator.protocol.wire import (
    GoodbyeRequest,
    HeldAttempt,
    HeldVerdict,
    SessionReply,
    SessionRequest,
)
from orchestrator.protocol.words import JobEventType, Outcome, Verdict
from orchestrator.server.facts import SessionEnded, SessionOpened
from orchestrator.server.operations.changes import Changes
from orchestrator.server.operations.heartbeat import heartbeat
from orchestrator.server.operations.lease_clock import LeaseClock, read_lease_clock
from orchestrator.server.operations.losses import SELECT_HELD, give_back, held_by, held_of, lose
from orchestrator.server.operations.ownership import own_session
from orchestrator.server.operations.records import Held
from orchestrator.server.operations.requirements import match_session
from orchestrator.server.operations.restoration import note_unknown
from orchestrator.server.store.interface import Transaction
from orchestrator.server.store.pairs import Pair, tuples_of_pairs

__all__ = ["goodbye", "heartbeat", "open_session"]

_INSERT: Final = """
    INSERT INTO session (id, worker_id, spool_id, number, version, slots, platform, kinds, tags,
        opened_us, renewed_us, renewed_lease_us)
    VALUES (:id, :worker_id, :spool_id, :number, :version, :slots, :platform, :kinds, :tags,
        :now, :now, :lease_now)
"""
_UPDATE_MACHINE: Final = """
    UPDATE machine SET hostname = :hostname, platform = :platform, arch = :arch,
        cpu_count = :cpu_count, memory_bytes = :memory_bytes, python = :python
    WHERE id = (SELECT machine_id FROM worker WHERE worker.id = :worker_id)
"""
_SAME_SPOOL: Final = f"""
    {SELECT_HELD} JOIN session ON session.id = job.session_id
    WHERE session.worker_id = :worker_id AND session.spool_id = :spool_id
    ORDER BY job.id
"""
_SETTLED: Final = """
    SELECT attempt.job_id, attempt.number, attempt.outcome, attempt.late_result IS NULL AS unheard
    FROM {pairs} JOIN attempt
        ON attempt.job_id = column1 AND attempt.number = column2
    WHERE attempt.worker_id = :worker_id
"""
_LENGTHS: Final = """
    SELECT output.job_id, output.attempt, output.length
    FROM {pairs} JOIN output ON output.job_id = column1 AND output.attempt = column2
"""
_UNKNOWN: Final = frozenset({Outcome.LOST, Outcome.INDETERMINATE})


def open_session(
    tx: Transaction, request: SessionRequest, *, worker_id: str, session_id: str
) -> SessionReply:
    """Begin a session, end the one before it, and say what to do with each held attempt."""
    worker = tx.row("SELECT name FROM worker WHERE id = :id", id=worker_id)
    if worker is None:
        raise NotFound(f"there is no worker {worker_id}", hint="enrol the worker again")
    _refuse_what_is_old(tx, request, worker_id)
    clock = read_lease_clock(tx)
    _end_the_one_before(tx, request, worker_id, clock)
    offer = Offer(
        worker_id=worker_id,
        worker_name=worker["name"],
        platform=request.host.platform,
        kinds=frozenset(request.kinds),
        tags=frozenset(request.tags),
        arch=request.host.arch,
    )
    _insert(tx, request, offer, session_id=session_id, lease_now=clock.now)
    verdicts = _judge(tx, request, worker_id=worker_id, session_id=session_id)
    tx.announce(SessionOpened(session_id, match_session(tx, session_id, offer)))
    reached("session.before_commit")
    return SessionReply(
        session_id=session_id,
        server_time_us=tx.now_us,
        heartbeat_s=HEARTBEAT_S,
        lease_s=LEASE_S,
        progress_s=PROGRESS_S,
        verdicts=verdicts,
    )


def _refuse_what_is_old(tx: Transaction, request: SessionRequest, worker_id: str) -> None:
    """Refuse a request that was overtaken: it does not list what its worker was given since.

    Networks delay, and proxies repeat. Believing it would end the session of the process that
    lives, and take away every attempt of it.
    """
    newest = tx.row(
        "SELECT max(number) AS number FROM session "
        "WHERE worker_id = :worker_id AND spool_id = :spool_id",
        worker_id=worker_id,
        spool_id=request.spool_id,
    )
    if newest is not None and request.number and request.number <= (newest["number"] or 0):
        raise LeaseLost(
            "a later request of this worker's has opened a session already",
            hint="ask again, with a higher number",
            code="session_overtaken",
        )


def _end_the_one_before(
    tx: Transaction, request: SessionRequest, worker_id: str, clock: LeaseClock
) -> None:
    old = tx.row(
        "SELECT id, spool_id, renewed_lease_us FROM session "
        "WHERE worker_id = :worker_id AND ended_us IS NULL",
        worker_id=worker_id,
    )
    if old is None:
        return
    if old["spool_id"] != request.spool_id:
        if not request.takeover and old["renewed_lease_us"] > clock.over:
            raise AlreadyExists(
                "another process is connected as this worker, with another state directory",
                hint="stop that one, wait a minute, enrol this one under another name, "
                "or take over with --takeover",
                code="session_superseded",
            )
        changes = Changes(tx)
        lose(tx, changes, held_by(tx, old["id"]), Outcome.LOST)
        changes.save()
    _end(tx, old["id"])


def _end(tx: Transaction, session_id: str) -> None:
    tx.execute("UPDATE session SET ended_us = :now WHERE id = :id", now=tx.now_us, id=session_id)
    tx.execute("DELETE FROM session_requirement WHERE session_id = :id", id=session_id)
    tx.announce(SessionEnded(session_id))


def _insert(
    tx: Transaction, request: SessionRequest, offer: Offer, *, session_id: str, lease_now: int
) -> None:
    tx.execute(
        _INSERT,
        id=session_id,
        worker_id=offer.worker_id,
        spool_id=request.spool_id,
        number=request.number,
        version=request.version,
        slots=request.slots,
        platform=offer.platform,
        kinds=json.dumps(sorted(offer.kinds)),
        tags=json.dumps(sorted(offer.tags)),
        now=tx.now_us,
        lease_now=lease_now,
    )
    tx.execute(
        "UPDATE worker SET session_id = :session_id WHERE id = :worker_id",
        session_id=session_id,
        worker_id=offer.worker_id,
    )
    tx.execute(_UPDATE_MACHINE, worker_id=offer.worker_id, **request.host.model_dump())


def _judge(
    tx: Transaction, request: SessionRequest, *, worker_id: str, session_id: str
) -> list[HeldVerdict]:
    """Move what the spool still holds to the new session; what it forgot is lost by policy."""
    pairs: list[Pair] = [(one.job_id, one.attempt) for one in request.held]
    rows = tx.tuples(_SAME_SPOOL, worker_id=worker_id, spool_id=request.spool_id)
    live = {(one.job.id, one.attempt.number): one for one in map(held_of, rows)}
    listed = set(pairs)
    changes = Changes(tx)
    for pair in listed & live.keys():
        _move(changes, live[pair], session_id)
    forgotten = [one for pair, one in live.items() if pair not in listed]
    lose(tx, changes, forgotten, Outcome.INDETERMINATE)
    changes.save()
    lengths = {
        (job_id, attempt): length
        for job_id, attempt, length in tuples_of_pairs(tx, _LENGTHS, pairs)
    }
    note_unknown(tx, pairs, worker_id=worker_id, session_id=session_id)
    wanted = _wanted_late(tx, pairs, worker_id)
    return [
        HeldVerdict(
            job_id=one.job_id,
            attempt=one.attempt,
            verdict=_verdict(one, live=live.keys(), wanted_late=wanted),
            output_offset=lengths.get((one.job_id, one.attempt), 0),
        )
        for one in request.held
    ]


def _move(changes: Changes, held: Held, session_id: str) -> None:
    """Entitle the new session. Its worker knows the attempt, so no claim is under way any more."""
    held.attempt.session_id = held.job.session_id = session_id
    held.attempt.claim_number = 0
    changes.update_attempt(held.job, held.attempt)
    changes.hand_over(held.job)
    changes.tell(held.job, JobEventType.REATTACHED, attempt=held.attempt.number)


def _wanted_late(tx: Transaction, pairs: list[Pair], worker_id: str) -> set[Pair]:
    """Return the attempts that were given up, and whose own account people would like to read."""
    return {
        (job_id, number)
        for job_id, number, outcome, unheard in tuples_of_pairs(
            tx, _SETTLED, pairs, worker_id=worker_id
        )
        if outcome in _UNKNOWN and unheard
    }


def _verdict(one: HeldAttempt, *, live: Collection[Pair], wanted_late: set[Pair]) -> Verdict:
    pair = (one.job_id, one.attempt)
    if pair in live:
        return Verdict.REPORT if one.phase == "ended" else Verdict.KEEP
    if one.phase == "ended" and pair in wanted_late:
        return Verdict.REPORT
    return Verdict.ABANDON


def goodbye(tx: Transaction, request: GoodbyeRequest, *, worker_id: str) -> None:
    """End a session in order: what it never started goes back to the queue. May be repeated.

    What runs on in its shims stays entitled until its lease ends, for the next session to keep.
    """
    session = own_session(tx, request.session_id, worker_id)
    if session["ended_us"] is not None:
        return
    held = held_by(tx, request.session_id)
    changes = Changes(tx)
    give_back(tx, changes, [one for one in held if one.attempt.started_us is None])
    changes.save()
    _end(tx, request.session_id)
