"""Do a thing once, however often it is asked for with the same key.

The answer is stored in the transaction of the deed, so either both are there or neither. It knows
nothing of the deed but that its answer is a job or a batch. A key lives as long as that.

A deed that may be repeated without harm is repeated, and its answer made anew: what is kept of it
is only which request the key belongs to.
"""

from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.kernel.errors import RequestInvalid
from orchestrator.protocol.batches import BatchView
from orchestrator.protocol.views import JobView
from orchestrator.server.store.interface import Transaction

Answer = JobView | BatchView


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """Who asked what of which route, under which key."""

    principal: str
    route: str
    key: str
    body_sha256: str


def once(
    tx: Transaction,
    key: IdempotencyKey | None,
    make: Callable[[], Answer],
    *,
    repeatable: bool = False,
) -> tuple[bytes, bool]:
    """Return the answer as JSON, and whether this was asked before with the same key."""
    if key is None:
        return _encoded(make()), False
    known = tx.row(
        "SELECT body_sha256, reply FROM idempotency "
        "WHERE principal = :principal AND route = :route AND request_key = :key",
        principal=key.principal,
        route=key.route,
        key=key.key,
    )
    if known is not None:
        if known["body_sha256"] != key.body_sha256:
            raise RequestInvalid(
                "this Idempotency-Key was used before, with another request",
                hint="use a new key for a new request; repeat the same bytes to repeat a request",
                code="idempotency_key_reused",
            )
        return _encoded(make()) if repeatable else bytes(known["reply"]), True
    return _first(tx, key, make(), kept=not repeatable), False


def _encoded(reply: Answer) -> bytes:
    return reply.model_dump_json().encode()


def _first(tx: Transaction, key: IdempotencyKey, reply: Answer, *, kept: bool) -> bytes:
    encoded = _encoded(reply)
    tx.execute(
        "INSERT INTO idempotency "
        "(principal, route, request_key, body_sha256, reply, job_id, batch_id, created_us) "
        "VALUES (:principal, :route, :key, :body_sha256, :reply, :job_id, :batch_id, :now)",
        principal=key.principal,
        route=key.route,
        key=key.key,
        body_sha256=key.body_sha256,
        reply=encoded if kept else b"",
        job_id=reply.id if isinstance(reply, JobView) else None,
        batch_id=reply.id if isinstance(reply, BatchView) else None,
        now=tx.now_us,
    )
    return encoded
