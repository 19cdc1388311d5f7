"""A deed that is done once, however often it is asked for: from the header to the answer.

Whoever repeats a request with the same `Idempotency-Key` gets what was answered then, and is told.
"""

import re
from collections.abc import Callable
from hashlib import sha256
from typing import Final, NamedTuple

from starlette.types import Scope

from orchestrator.kernel.errors import RequestInvalid
from orchestrator.protocol import limits
from orchestrator.server.access.doorkeeper import principal_of
from orchestrator.server.operations.idempotency import Answer, IdempotencyKey, once
from orchestrator.server.store.interface import Store, Transaction

_KEY: Final = re.compile(rb"[\x21-\x7e]{1,%d}" % limits.IDEMPOTENCY_KEY_CHARS)
Deed = Callable[[Transaction], Answer]


class Once(NamedTuple):
    """The answer as JSON, and whether it was given before."""

    reply: bytes
    replayed: bool

    @property
    def headers(self) -> dict[str, str]:
        """Return what the answer says of that."""
        return {"idempotency-replayed": "true"} if self.replayed else {}


async def done_once(
    store: Store, scope: Scope, body: bytes, deed: Deed, *, repeatable: bool = False
) -> Once:
    """Do what a request asks for, unless that was done under its key."""
    key = _key_of(scope, body)
    return Once(
        *await store.write(lambda tx: once(tx, key, lambda: deed(tx), repeatable=repeatable))
    )


def _key_of(scope: Scope, body: bytes) -> IdempotencyKey | None:
    """Return under which key a POST must be done only once, or `None` when none was given."""
    given = next((value for name, value in scope["headers"] if name == b"idempotency-key"), None)
    if given is None:
        return None
    if not _KEY.fullmatch(given):
        raise RequestInvalid(
            "the Idempotency-Key is not valid",
            hint=f"send 1 to {limits.IDEMPOTENCY_KEY_CHARS} visible ASCII characters",
            fields=(("Idempotency-Key", "is empty, too long, or not plain ASCII"),),
        )
    route = f"{scope['method']} {scope['path']}"
    principal = principal_of(scope).id
    return IdempotencyKey(principal, route, given.decode("ascii"), sha256(body).hexdigest())
