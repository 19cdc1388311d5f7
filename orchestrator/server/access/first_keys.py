"""The first keys of a new server: one for its administrator, one with which workers enrol.

They are written where only the owner of the data directory can read them, and shown to nobody.
There is no default password, and nobody becomes an administrator by coming first.
"""

import secrets
from pathlib import Path
from typing import Final, NamedTuple

from anyio import to_thread

from orchestrator.kernel.clock import Clock
from orchestrator.kernel.files import write_private
from orchestrator.protocol.ids import RANDOM_BYTES, make_id
from orchestrator.protocol.tokens import SECRET_BYTES, make_token, token_hash
from orchestrator.protocol.words import Scope
from orchestrator.server.operations.keys import NewKey, ensure_first_keys, has_keys
from orchestrator.server.store.interface import Store


class _First(NamedTuple):
    """A key to make: its file, its name, its kind, what it may do."""

    file: str
    name: str
    prefix: str
    scope: Scope


_FIRST: Final = (
    _First("admin.key", "admin", "pak", Scope.ADMIN),
    _First("enrol.key", "enrolment", "wak", Scope.WORKER_ENROL),
)


async def provide_first_keys(store: Store, folder: Path, clock: Clock) -> None:
    """Make the first keys if this server has none.

    The files come first: a crash before the rows are there leaves files that the next start writes
    anew, never rows whose words nobody knows.
    """
    if await store.read(has_keys):
        return
    keys = []
    for first in _FIRST:
        token = make_token(first.prefix, secrets.token_bytes(SECRET_BYTES))
        await to_thread.run_sync(write_private, folder / first.file, f"{token}\n")
        at_ms = int(clock.now() * 1000)
        key_id = make_id("key", at_ms=at_ms, random=secrets.token_bytes(RANDOM_BYTES))
        keys.append(NewKey(key_id, first.name, token_hash(token), frozenset({first.scope})))
    await store.write(lambda tx: ensure_first_keys(tx, keys))
