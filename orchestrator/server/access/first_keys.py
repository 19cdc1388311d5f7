"""The first keys of a new server: one for its administrator, one with which workers enrol.

They are written where only the owner of the data directory can read them, and shown to nobody.
There is no default password, and nobody becomes an administrator by coming first. Whoever lost
such a file removes what is left of it and starts the server again: the lost key is revoked and a
new one written, because who owns the data directory is the administrator anyway.
"""

import logging
import secrets
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from anyio import to_thread

from orchestrator.kernel import logs
from orchestrator.kernel.clock import Clock
from orchestrator.kernel.files import write_private
from orchestrator.protocol.ids import RANDOM_BYTES, make_id
from orchestrator.protocol.tokens import SECRET_BYTES, make_token, token_hash
from orchestrator.protocol.words import Scope
from orchestrator.server.operations.keys import (
    NewKey,
    create_key,
    ensure_first_keys,
    has_keys,
    replace_key,
)
from orchestrator.server.store.interface import Store

LOGGER: Final = logging.getLogger(__name__)


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
    """Make the first keys if this server has none, and anew those whose files are gone.

    The files come first: a crash before the rows are there leaves files that the next start writes
    anew, never rows whose words nobody knows.
    """
    if await store.read(has_keys):
        for first in _FIRST:
            if not (folder / first.file).exists():
                await _replace(store, folder, clock, first)
        return
    keys = [await _written(folder / first.file, clock, first) for first in _FIRST]
    await store.write(lambda tx: ensure_first_keys(tx, keys))


async def provide_more_keys(store: Store, folder: Path, clock: Clock) -> None:
    """Make keys beside those that are there, whose words only their holders know: a backup's."""
    for first in _FIRST:
        key = await _written(folder / first.file, clock, first)
        await store.write(partial(create_key, key=key))


async def _replace(store: Store, folder: Path, clock: Clock, first: _First) -> None:
    """Revoke a lost key and make a new one.

    Written beside its place and moved there last: after a crash in between the file is still
    missing, so the next start does it again.
    """
    path = folder / first.file
    coming = path.with_suffix(".new")
    key = await _written(coming, clock, first)
    await store.write(lambda tx: replace_key(tx, key))
    await to_thread.run_sync(coming.rename, path)
    logs.event(
        LOGGER, logging.WARNING, "key.replaced", key=first.name, file=str(path), why="it was gone"
    )


async def _written(path: Path, clock: Clock, first: _First) -> NewKey:
    """Write a new key into a file of its owner's, and return what the database keeps of it."""
    token = make_token(first.prefix, secrets.token_bytes(SECRET_BYTES))
    await to_thread.run_sync(write_private, path, f"{token}\n")
    at_ms = int(clock.now() * 1000)
    key_id = make_id("key", at_ms=at_ms, random=secrets.token_bytes(RANDOM_BYTES))
    return NewKey(key_id, first.name, token_hash(token), frozenset({first.scope}))
