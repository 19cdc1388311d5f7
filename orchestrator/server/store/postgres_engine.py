"""PostgreSQL as the writer sees it: one group after the other, over all servers of a database.

Each transaction takes one lock before it looks at anything, so an operation is alone in the
database, exactly as it is on SQLite, and no operation has to know what another one might be doing
meanwhile (ADR 0010 says what that costs). The lock is the transaction's and ends with it.

Each group that wrote anything also counts up its server's own mark. So a commit whose answer got
lost can be looked up once the database is back: the mark is there, or it never will be.
"""

from typing import Final

import psycopg
from psycopg.pq import TransactionStatus

from orchestrator.kernel.errors import OrchestratorError, StoreBusy
from orchestrator.server.facts import Fact, NewsLost
from orchestrator.server.store.postgres_connection import (
    PostgresConnection,
    Raw,
    translated,
    unreachable,
    words_of,
)
from orchestrator.server.store.postgres_server import Server
from orchestrator.server.store.writer import TryAgain

GROUP_MAX: Final = 60
"""PostgreSQL remembers 64 savepoints of a transaction cheaply, and every one beyond dearly."""
WRITERS: Final = 0x4F524348_00000001
"""The lock of whoever writes: `ORCH`, one."""
MARKS: Final = """
CREATE TABLE IF NOT EXISTS commit_mark (
    server TEXT PRIMARY KEY,
    number BIGINT NOT NULL,
    at TIMESTAMPTZ NOT NULL DEFAULT now()
)
"""
_BEGIN: Final = f"BEGIN; SELECT pg_advisory_xact_lock({WRITERS}); SAVEPOINT operation".encode()
_COMMIT: Final = (
    b"UPDATE commit_mark SET number = %d, at = now() "
    b"WHERE server = '%s' AND pg_current_xact_id_if_assigned() IS NOT NULL; COMMIT"
)
"""A group that wrote nothing leaves no mark, so it does not have to be synced."""


class PostgresTransaction(PostgresConnection):
    """What an operation sees; it lives as long as the group."""

    def __init__(self, raw: Raw) -> None:
        super().__init__(raw)
        self.facts: list[Fact] = []

    def announce(self, fact: Fact) -> None:
        """Let subscribers know once this is committed."""
        self.facts.append(fact)


class PostgresEngine:
    """The writer's connection, which is made again whenever it is gone."""

    group_max = GROUP_MAX
    refusals: tuple[type[Exception], ...] = (psycopg.IntegrityError, psycopg.DataError)

    def __init__(self, server: Server, raw: Raw) -> None:
        self._server = server
        self._tx = PostgresTransaction(raw)
        self._name = _introduced(raw)
        self._number = 0
        self._has_savepoint = False
        self._missed = False
        """Something may have been committed of which nobody was told."""

    def begin(self, now_us: int) -> PostgresTransaction:
        """Begin a transaction, and wait until no other server is in one."""
        if self._is_gone():
            self._tx.raw.close()
            self._tx = PostgresTransaction(self._connected())
        self._tx.raw.execute(_BEGIN)
        self._has_savepoint = True
        self._number += 1
        self._tx.now_us = now_us
        self._tx.facts = [NewsLost()] if self._missed else []
        return self._tx

    def _connected(self) -> Raw:
        try:
            return self._server.connect_writer()
        except OrchestratorError as error:
            # Whatever it is, this server was let in before, and may be again.
            raise StoreBusy(error.message, code="storage_unreachable", hint=error.hint) from error

    def _is_gone(self) -> bool:
        return self._tx.raw.closed or self._tx.raw.broken

    def begin_operation(self) -> None:
        """Set a savepoint before an operation: the first one came with the transaction."""
        if not self._has_savepoint:
            self._tx.raw.execute(b"RELEASE operation; SAVEPOINT operation")
        self._has_savepoint = False

    def undo_operation(self) -> None:
        """Take back everything since the last savepoint."""
        self._tx.raw.execute(b"ROLLBACK TO operation")

    def end_operation(self) -> None:
        """Keep what was done since the savepoint: the next one, or the commit, does so."""

    def commit(self) -> None:
        """Make the group durable, or say why nobody may be told that it is."""
        try:
            self._tx.raw.execute(_COMMIT % (self._number, self._name))
        except psycopg.Error as error:
            if not self._is_gone():
                # The database says itself that it did not.
                self.rollback()
                raise self._meaning(error) from error
            if not self._was_committed(error):
                raise TryAgain(unreachable(error)) from error
        self._missed = False

    def _meaning(self, error: psycopg.Error) -> Exception:
        meaning = self.translated(error)
        if isinstance(meaning, StoreBusy | TryAgain):
            return meaning
        return StoreBusy(f"the database refused a commit: {words_of(error)}")

    def _was_committed(self, error: psycopg.Error) -> bool:
        """Find out whether a commit took place that was never answered."""
        try:
            with self._server.connect() as raw:
                # Granted when the transaction is over that had it, whichever way.
                raw.execute(f"SELECT pg_advisory_xact_lock({WRITERS})".encode())
                return _mark_of(raw, self._name) == self._number
        except (psycopg.Error, OrchestratorError) as still:
            self._missed = True
            raise StoreBusy(
                f"the database went away during a commit: {words_of(still)}",
                code="commit_unknown",
                hint="it may have taken place: ask again with the same Idempotency-Key, "
                "and it is done once, not twice",
            ) from error

    def rollback(self) -> None:
        """Take the whole group back; without a connection there is nothing to take back."""
        raw = self._tx.raw
        if self._is_gone() or raw.info.transaction_status is TransactionStatus.IDLE:
            return
        try:
            raw.execute(b"ROLLBACK")
        except psycopg.Error:
            raw.close()

    def translated(self, error: Exception) -> Exception:
        """Return what an error of the driver means."""
        return translated(error, lost=self._is_gone())

    def close(self) -> None:
        """Let go of the connection."""
        self._tx.raw.close()


def _introduced(raw: Raw) -> bytes:
    """Give this server a mark of its own, and forget those of servers that are long gone."""
    raw.execute(b"DELETE FROM commit_mark WHERE at < now() - interval '7 days'")
    ((name,),) = raw.execute(
        b"INSERT INTO commit_mark (server, number) VALUES (gen_random_uuid()::text, 0) "
        b"RETURNING server"
    ).fetchall()
    return str(name).encode()


def _mark_of(raw: Raw, name: bytes) -> int | None:
    found = raw.execute("SELECT number FROM commit_mark WHERE server = %s", [name.decode()])
    return next((number for (number,) in found), None)
