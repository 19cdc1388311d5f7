"""The breakers of workers in the database: what ends of attempts, and people, do to them.

The core judges; here its evidence is gathered. A worker that nothing speaks against has no rows, so
that its reports cost one look.
"""

import zlib
from collections.abc import Sequence
from typing import Final, NamedTuple

from orchestrator.core import breaker as core
from orchestrator.core.breaker import Breaker, BreakerEvent, Fault
from orchestrator.core.fingerprint import normalised
from orchestrator.protocol.words import BreakerState, Outcome, Reason
from orchestrator.server.facts import BreakerChanged, SessionChanged
from orchestrator.server.operations.records import Held
from orchestrator.server.store.interface import Reader, Row, Transaction

BREAKER_COLUMNS: Final = """
    breaker.state, breaker.since_us, breaker.opened_us, breaker.next_us, breaker.trips, breaker.why,
    breaker.cause, breaker.actor
"""
_SELECT: Final = f"SELECT {BREAKER_COLUMNS} FROM breaker WHERE worker_id = :worker_id"
_SAVE: Final = """
    INSERT INTO breaker (worker_id, state, since_us, opened_us, next_us, trips, why, cause, actor)
    VALUES (:worker_id, :state, :since_us, :opened_us, :next_us, :trips, :why, :cause, :actor)
    ON CONFLICT (worker_id) DO UPDATE SET state = excluded.state, since_us = excluded.since_us,
        opened_us = excluded.opened_us, next_us = excluded.next_us, trips = excluded.trips,
        why = excluded.why, cause = excluded.cause, actor = excluded.actor
"""
_TROUBLED: Final = """
    SELECT 1 FROM worker WHERE id = :worker_id AND (
        EXISTS (SELECT 1 FROM worker_fault WHERE worker_fault.worker_id = worker.id)
        OR EXISTS (SELECT 1 FROM breaker
            WHERE breaker.worker_id = worker.id AND breaker.state <> 'closed')
    )
"""
_FAULTS: Final = """
    SELECT job_id, reason, incident, at_us, verdict FROM worker_fault
    WHERE worker_id = :worker_id AND verdict <> 'excused'
"""
_ADD_FAULT: Final = """
    INSERT INTO worker_fault (worker_id, job_id, attempt, reason, incident, subject, at_us,
        verdict)
    VALUES (:worker_id, :job_id, :attempt, :reason, :incident, :subject, :at_us, :verdict)
    ON CONFLICT (worker_id, job_id) DO UPDATE SET attempt = excluded.attempt,
        reason = excluded.reason, incident = excluded.incident, subject = excluded.subject,
        at_us = excluded.at_us, verdict = excluded.verdict
"""
_SAME_FAULT: Final = """
    SELECT DISTINCT worker_id FROM worker_fault
    WHERE (worker_id <> :worker_id OR verdict = 'excused') AND verdict <> 'elsewhere'
        AND at_us > :since AND reason = :reason AND (job_id = :job_id OR subject = :subject)
"""
_EXCUSE_SAME: Final = """
    UPDATE worker_fault SET verdict = 'excused'
    WHERE verdict = 'doubt' AND reason = :reason AND (job_id = :job_id OR subject = :subject)
"""
_DROP_DOUBTS: Final = """
    DELETE FROM worker_fault
    WHERE worker_id = :worker_id AND (verdict = 'doubt' OR at_us <= :since)
"""
_FORGET: Final = """
    DELETE FROM worker_fault WHERE worker_id = :worker_id AND verdict <> 'excused'
"""
_FAILED_ELSEWHERE: Final = """
    SELECT worker_id, number, reason, session_id, finished_us FROM attempt
    WHERE job_id = :job_id AND worker_id <> :worker_id AND finished_us > :since
        AND (outcome = 'failed' OR outcome = 'timed_out' OR outcome = 'lost'
            OR outcome = 'indeterminate')
    ORDER BY number
"""
_SESSION: Final = """
    SELECT session.id FROM session WHERE worker_id = :worker_id AND ended_us IS NULL
"""
_FITS: Final = "SELECT requirement_id FROM session_requirement WHERE session_id = :session_id"
_LET_IN: Final = """
    UPDATE session_requirement SET barred = 0 WHERE session_id = :session_id AND barred <> 0
"""
_UNKNOWN: Final = frozenset({Outcome.LOST, Outcome.INDETERMINATE})
_FAILED: Final = frozenset({Outcome.FAILED, Outcome.TIMED_OUT}) | _UNKNOWN


class Over(NamedTuple):
    """An attempt that has just ended."""

    held: Held
    outcome: Outcome


def breaker_of(row: Row | None) -> Breaker:
    """Return the breaker of a row with `BREAKER_COLUMNS`; a closed one, if there is none."""
    if row is None or row["state"] is None:
        return Breaker()
    return Breaker(
        state=BreakerState(row["state"]),
        since_us=row["since_us"],
        opened_us=row["opened_us"],
        next_us=row["next_us"],
        trips=row["trips"],
        why=row["why"],
        cause=None if row["cause"] is None else Reason(row["cause"]),
        by=row["actor"],
    )


def read_breaker(reader: Reader, worker_id: str) -> Breaker:
    """Return a worker's breaker."""
    return breaker_of(reader.row(_SELECT, worker_id=worker_id))


def note_ends(tx: Transaction, ended: Sequence[Over]) -> None:
    """Learn what ends of attempts say about the workers that had them."""
    quiet: dict[str, bool] = {}
    for over in ended:
        worker_id = over.held.attempt.worker_id
        if over.outcome is Outcome.SUCCEEDED:
            if worker_id not in quiet:
                quiet[worker_id] = tx.row(_TROUBLED, worker_id=worker_id) is None
            if not quiet[worker_id]:
                _succeeded(tx, over.held)
            if over.held.job.failures or over.held.job.lost:
                _blame_others(tx, over.held)
        elif over.outcome in _FAILED:
            quiet.pop(worker_id, None)
            _failed(tx, over)


def _succeeded(tx: Transaction, held: Held) -> None:
    """A machine that runs a job to its end is well, as far as anybody knows now."""
    worker_id = held.attempt.worker_id
    breaker = read_breaker(tx, worker_id)
    if breaker.state in {BreakerState.OPEN, BreakerState.HALF_OPEN}:
        if held.attempt.claimed_us >= breaker.since_us:
            change(tx, worker_id, breaker, BreakerEvent.PROVEN)
    elif breaker.state is BreakerState.CLOSED:
        tx.execute(_DROP_DOUBTS, worker_id=worker_id, since=tx.now_us - core.WINDOW_US)


def _blame_others(tx: Transaction, held: Held) -> None:
    """A job that succeeds here was not at fault where it failed before."""
    rows = tx.rows(
        _FAILED_ELSEWHERE,
        job_id=held.job.id,
        worker_id=held.attempt.worker_id,
        since=tx.now_us - core.WINDOW_US,
    )
    for row in rows:
        if row["reason"] is not None:
            tx.execute(
                _ADD_FAULT,
                worker_id=row["worker_id"],
                job_id=held.job.id,
                attempt=row["number"],
                reason=row["reason"],
                incident=_incident(row["reason"], row["session_id"], held.job.id),
                subject=held.job.id,
                at_us=row["finished_us"],
                verdict="elsewhere",
            )
    for worker_id in {row["worker_id"] for row in rows}:
        _judge(tx, worker_id, read_breaker(tx, worker_id))


def _failed(tx: Transaction, over: Over) -> None:
    attempt, job = over.held.attempt, over.held.job
    if attempt.reason is None:
        return
    breaker = read_breaker(tx, attempt.worker_id)
    is_canary = breaker.state is BreakerState.HALF_OPEN and attempt.claimed_us >= breaker.since_us
    if attempt.reason in core.OF_THE_MACHINE:
        subject = _subject(over.held)
        same = {"job_id": job.id, "reason": attempt.reason.value, "subject": subject}
        since = tx.now_us - core.WINDOW_US
        others = tx.rows(_SAME_FAULT, worker_id=attempt.worker_id, since=since, **same)
        tx.execute(
            _ADD_FAULT,
            worker_id=attempt.worker_id,
            attempt=attempt.number,
            incident=_incident(attempt.reason, attempt.session_id, job.id),
            at_us=tx.now_us,
            verdict="doubt",
            **same,
        )
        if others:
            # It fails wherever it is tried, here as well: the job is at fault, and no machine.
            tx.execute(_EXCUSE_SAME, **same)
            for worker_id in sorted({row["worker_id"] for row in others} | {attempt.worker_id}):
                _acquit(tx, worker_id)
            return
    if is_canary and core.is_against(breaker, attempt.reason):
        why = f"the canary {job.id} failed ({attempt.reason})"
        change(tx, attempt.worker_id, breaker, BreakerEvent.FAILED_AGAIN, why=why)
    else:
        _judge(tx, attempt.worker_id, breaker)


def _incident(reason: str, session_id: str, job_id: str) -> str:
    """Return what several tries have in common that were lost with one session."""
    return session_id if reason == Reason.WORKER_LOST else job_id


def _subject(held: Held) -> str:
    """Return what a failure has in common with others of the same fault.

    Only the words about a program that cannot be started name it; others would be the same on
    every machine that is broken in the same way.
    """
    if held.attempt.reason is Reason.SPAWN_ERROR and held.attempt.message:
        return normalised(held.attempt.message)
    return held.job.id


def _judge(tx: Transaction, worker_id: str, breaker: Breaker) -> None:
    if breaker.state is not BreakerState.CLOSED:
        return
    verdict = core.judge(_faults(tx, worker_id), now_us=tx.now_us)
    if verdict is not None:
        why, cause = verdict
        change(tx, worker_id, breaker, BreakerEvent.TRIPPED, why=why, cause=cause)


def _acquit(tx: Transaction, worker_id: str) -> None:
    """Let a worker in again of which nothing is left that speaks against it."""
    breaker = read_breaker(tx, worker_id)
    if breaker.state not in {BreakerState.OPEN, BreakerState.HALF_OPEN}:
        return
    # As of when it was opened: what speaks against it must not grow old meanwhile.
    if core.judge(_faults(tx, worker_id), now_us=breaker.opened_us) is None:
        change(tx, worker_id, breaker, BreakerEvent.CLEARED)


def _faults(reader: Reader, worker_id: str) -> list[Fault]:
    return [
        Fault(job_id, Reason(reason), incident, at_us, verdict == "elsewhere")
        for job_id, reason, incident, at_us, verdict in reader.tuples(_FAULTS, worker_id=worker_id)
    ]


def change(  # noqa: PLR0913 - what the core is told
    tx: Transaction,
    worker_id: str,
    breaker: Breaker,
    event: BreakerEvent,
    *,
    why: str | None = None,
    cause: Reason | None = None,
    by: str | None = None,
) -> Breaker:
    """Let it happen to a worker's breaker, keep what becomes of that, and wake whom it concerns."""
    draw = zlib.crc32(f"{worker_id}.{breaker.trips}.{tx.now_us}".encode()) / 2**32
    new = core.happened(breaker, event, now_us=tx.now_us, draw=draw, why=why, cause=cause, by=by)
    tx.execute(
        _SAVE,
        worker_id=worker_id,
        state=new.state.value,
        since_us=new.since_us,
        opened_us=new.opened_us,
        next_us=new.next_us,
        trips=new.trips,
        why=new.why,
        cause=new.cause,
        actor=new.by,
    )
    if new.state is BreakerState.CLOSED:
        tx.execute(_FORGET, worker_id=worker_id)
    for row in tx.rows(_SESSION, worker_id=worker_id):
        if new.state is BreakerState.CLOSED:
            tx.execute(_LET_IN, session_id=row["id"])
        fits = frozenset(number for (number,) in tx.tuples(_FITS, session_id=row["id"]))
        tx.announce(SessionChanged(row["id"], fits))
    told = (why or new.why, new.next_us, by or new.by)
    tx.announce(BreakerChanged(worker_id, new.state, event.value, *told))
    return new
