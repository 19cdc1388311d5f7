"""New tokens for workers that have one: the same worker, with another secret.

The old token is accepted for a while. Whoever renews it may die before the new one is written down,
and the process that works with it hears of the new one a moment later.
"""

from typing import Final

from orchestrator.kernel.errors import Forbidden
from orchestrator.protocol.base import moment
from orchestrator.protocol.tokens import WorkerToken, token_hash
from orchestrator.protocol.wire import RenewTokenReply
from orchestrator.server.facts import KeysChanged
from orchestrator.server.store.interface import Transaction

_OF: Final = "SELECT machine_id, token_hash FROM worker WHERE id = :id"
_IS_RETIRED: Final = """
    SELECT 1 FROM retired_token WHERE token_hash = :used AND worker_id = :worker_id
"""
_REPLACE: Final = "UPDATE worker SET token_hash = :token_hash WHERE id = :id"
_RETIRE: Final = """
    INSERT INTO retired_token (token_hash, worker_id, until_us)
    VALUES (:token_hash, :worker_id, :until)
"""
_END: Final = "DELETE FROM retired_token WHERE until_us <= :now"
_END_ALL: Final = "DELETE FROM retired_token WHERE worker_id = :worker_id"


def renew_token(
    tx: Transaction, worker_id: str, *, used: str, secret: str, overlap_s: float
) -> RenewTokenReply:
    """Return a new token of a worker; the one that was used is accepted for so long, and no other.

    Who comes with a retired one has never got the answer with the new one, so that one is void: to
    retire it, too, would void the only one that works.
    """
    (worker,) = tx.rows(_OF, id=worker_id)
    known = used == worker["token_hash"]
    if not known and not tx.tuples(_IS_RETIRED, used=used, worker_id=worker_id):
        raise Forbidden("this token was replaced just now", hint="use the one that replaced it")
    token = str(WorkerToken(worker["machine_id"], worker_id, secret))
    until = tx.now_us + round(overlap_s * 1_000_000)
    replace_token(tx, worker_id, token)
    tx.execute(_RETIRE, token_hash=used, worker_id=worker_id, until=until)
    tx.announce(KeysChanged())
    return RenewTokenReply(token=token, old_until=moment(until))


def replace_token(tx: Transaction, worker_id: str, token: str) -> None:
    """Accept no token of a worker but this one."""
    tx.execute(_END_ALL, worker_id=worker_id)
    tx.execute(_REPLACE, id=worker_id, token_hash=token_hash(token))


def end_retired_in_time(tx: Transaction) -> None:
    """Accept no token any more whose time has passed."""
    if tx.execute(_END, now=tx.now_us):
        tx.announce(KeysChanged())
