"""Credentials as the database knows them: hashes, never the words themselves."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from orchestrator.protocol.words import Scope
from orchestrator.server.facts import KeysChanged
from orchestrator.server.store.interface import Reader, Transaction

_INSERT: Final = """
    INSERT INTO api_key (id, name, token_hash, scopes, created_us)
    VALUES (:id, :name, :token_hash, :scopes, :now)
"""
# One that was renewed is removed when its time has passed: whoever is found may come in.
_WORKER: Final = """
    SELECT id, name FROM worker WHERE token_hash = :it
    UNION ALL
    SELECT worker.id, worker.name FROM retired_token
    JOIN worker ON worker.id = retired_token.worker_id WHERE retired_token.token_hash = :it
"""


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who may do something.

    `worker_id` is set for a worker alone, with the hash of the one of its tokens that it came with.
    """

    id: str
    name: str
    scopes: frozenset[Scope]
    worker_id: str | None = None
    token_hash: str = ""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key to be: its id, its name, the hash of its token, and what it may do."""

    id: str
    name: str
    token_hash: str
    scopes: frozenset[Scope]


def create_key(tx: Transaction, key: NewKey) -> None:
    """Store a key."""
    tx.execute(
        _INSERT,
        id=key.id,
        name=key.name,
        token_hash=key.token_hash,
        scopes=" ".join(sorted(key.scopes)),
        now=tx.now_us,
    )
    tx.announce(KeysChanged())


def has_keys(reader: Reader) -> bool:
    """Tell whether anybody can get in: `False` only on a database that is new."""
    return reader.row("SELECT 1 FROM api_key LIMIT 1") is not None


def ensure_first_keys(tx: Transaction, keys: Iterable[NewKey]) -> bool:
    """Store the first keys unless there are any; tell whether they were stored.

    Write the tokens where their owner finds them *before* this: after a crash in between there are
    still no keys, and the next start makes new ones.
    """
    if has_keys(tx):
        return False
    for key in keys:
        create_key(tx, key)
    return True


def replace_key(tx: Transaction, key: NewKey) -> None:
    """Revoke every key of that name, and store this one instead."""
    tx.execute("DELETE FROM api_key WHERE name = :name", name=key.name)
    create_key(tx, key)


def find_principal(reader: Reader, token_hash: str) -> Principal | None:
    """Return who has the token with that hash: a key's owner or a worker."""
    row = reader.row("SELECT id, name, scopes FROM api_key WHERE token_hash = :it", it=token_hash)
    if row is not None:
        return Principal(row["id"], row["name"], frozenset(map(Scope, row["scopes"].split())))
    row = reader.row(_WORKER, it=token_hash)
    if row is not None:
        scopes = frozenset({Scope.WORKER})
        return Principal(row["id"], row["name"], scopes, row["id"], token_hash)
    return None
