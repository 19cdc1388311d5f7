"""Renew a session, and compare what the worker has with what it should have.

A heartbeat renews one row, however many attempts the session holds. It also tells which grants
never arrived: the worker names the last claim whose answer it got, and lists every attempt that is
not settled, so a grant of that claim or an earlier one that it does not list was never heard of.
"""

from typing import Final

from orchestrator.kernel.failpoints import reached
from orchestrator.protocol.wire import HeartbeatReply, HeartbeatRequest, LiveAttempt, Order
from orchestrator.protocol.words import Directive, JobEventType, JobState
from orchestrator.server.operations.changes import Changes
from orchestrator.server.operations.lease_clock import read_lease_clock
from orchestrator.server.operations.losses import STATED, give_back, held_by
from orchestrator.server.operations.offers import change_offer
from orchestrator.server.operations.ownership import open_session_of
from orchestrator.server.operations.records import Held
from orchestrator.server.store.interface import Transaction
from orchestrator.server.store.pairs import Pair, tuples_of_pairs

_RENEW: Final = """
    UPDATE session SET renewed_us = :now, renewed_lease_us = :lease_now, offline_us = NULL
    WHERE id = :session_id AND ended_us IS NULL
"""
_SETTLED: Final = """
    SELECT attempt.job_id, attempt.number, attempt.outcome
    FROM {pairs} JOIN attempt
        ON attempt.job_id = column1 AND attempt.number = column2
    WHERE attempt.session_id = :session_id AND attempt.outcome IS NOT NULL
"""


def heartbeat(tx: Transaction, request: HeartbeatRequest, *, worker_id: str) -> HeartbeatReply:
    """Renew the session and return the orders that the worker does not show as known."""
    session = open_session_of(tx, request.session_id, worker_id)
    tx.execute(
        _RENEW,
        now=tx.now_us,
        lease_now=read_lease_clock(tx).now,
        session_id=request.session_id,
    )
    if request.offer is not None:
        change_offer(tx, request.session_id, request.offer)
    listed = {(one.job_id, one.attempt): one for one in request.attempts}
    live = {(one.job.id, one.attempt.number): one for one in held_by(tx, request.session_id)}
    changes = Changes(tx)
    if session["offline_us"] is not None:
        for held in live.values():
            changes.tell(held.job, JobEventType.WORKER_BACK, attempt=held.attempt.number)
    _give_back_what_never_arrived(tx, changes, request, live, listed)
    changes.save()
    orders = [
        *(_order(pair, Directive.CANCEL) for pair in _to_cancel(live, listed)),
        *(_order(pair, Directive.ABANDON) for pair in _to_abandon(tx, request, live)),
    ]
    reached("heartbeat.before_commit")
    return HeartbeatReply(server_time_us=tx.now_us, orders=orders)


def _order(pair: Pair, directive: Directive) -> Order:
    return Order(job_id=pair[0], attempt=pair[1], directive=directive)


def _give_back_what_never_arrived(
    tx: Transaction,
    changes: Changes,
    request: HeartbeatRequest,
    live: dict[Pair, Held],
    listed: dict[Pair, LiveAttempt],
) -> None:
    lost_on_the_way = [
        held
        for pair, held in live.items()
        if pair not in listed
        and held.attempt.started_us is None
        and held.attempt.claim_number <= request.claim_seen
    ]
    give_back(tx, changes, lost_on_the_way)


def _to_cancel(live: dict[Pair, Held], listed: dict[Pair, LiveAttempt]) -> list[Pair]:
    """Return what somebody cancelled and the worker does not cancel yet.

    Also what it does not list: it may have got the attempt while this heartbeat was waiting, and a
    cancel must not wait for the next one.
    """
    return [
        pair
        for pair, held in live.items()
        if held.job.state is JobState.CANCELLING
        and not (pair in listed and listed[pair].cancelling)
    ]


def _to_abandon(tx: Transaction, request: HeartbeatRequest, live: dict[Pair, Held]) -> list[Pair]:
    """Return what is not the session's any more, or never was.

    An attempt whose end the session itself reported is not among them: its answer is under way.
    """
    strange = [pair for one in request.attempts if (pair := (one.job_id, one.attempt)) not in live]
    reported = {
        (job_id, number)
        for job_id, number, outcome in tuples_of_pairs(
            tx, _SETTLED, strange, session_id=request.session_id
        )
        if outcome not in STATED
    }
    return [pair for pair in strange if pair not in reported]
