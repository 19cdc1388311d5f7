"""SQLite as the writer sees it: one connection, a savepoint for each operation."""

import sqlite3
from typing import Final

from orchestrator.server.facts import Fact
from orchestrator.server.store.sqlite_connection import SqliteConnection, is_full, translated

GROUP_MAX: Final = 128
"""Bounds how long the first of a group waits for the last; the sync is amortised long before."""


class SqliteTransaction(SqliteConnection):
    """What an operation sees; it lives as long as the group."""

    def __init__(self, raw: sqlite3.Connection, now_us: int) -> None:
        super().__init__(raw)
        self.now_us = now_us
        self.facts: list[Fact] = []

    def announce(self, fact: Fact) -> None:
        """Let subscribers know once this is committed."""
        self.facts.append(fact)


class SqliteEngine:
    """The writer's connection."""

    group_max = GROUP_MAX
    refusals: tuple[type[Exception], ...] = (sqlite3.IntegrityError,)

    def __init__(self, raw: sqlite3.Connection) -> None:
        self._raw = raw

    def begin(self, now_us: int) -> SqliteTransaction:
        """Begin at once as a writer, so that no operation has to become one half-way."""
        self._raw.execute("BEGIN IMMEDIATE")
        return SqliteTransaction(self._raw, now_us)

    def begin_operation(self) -> None:
        """Set a mark before an operation."""
        self._raw.execute("SAVEPOINT operation")

    def undo_operation(self) -> None:
        """Take back everything since the last mark."""
        self._raw.execute("ROLLBACK TO operation")

    def end_operation(self) -> None:
        """Keep what was done since the mark."""
        self._raw.execute("RELEASE operation")

    def commit(self) -> None:
        """Make the group durable."""
        try:
            self._raw.execute("COMMIT")
        except sqlite3.Error as error:
            if not is_full(error):
                raise
            # Nothing was acknowledged, and what was written lies behind the end of the log.
            self.rollback()
            raise translated(error) from error

    def rollback(self) -> None:
        """Take the whole group back; a full disk may have ended the transaction already."""
        if self._raw.in_transaction:
            self._raw.execute("ROLLBACK")

    def translated(self, error: Exception) -> Exception:
        """Return what an error of the driver means."""
        return translated(error) if isinstance(error, sqlite3.Error) else error
