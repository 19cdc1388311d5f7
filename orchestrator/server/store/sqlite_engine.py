"""SQLite as the writer sees it: one connection, a savepoint for each operation."""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final

from orchestrator.kernel.errors import StorageFull, StoreBusy
from orchestrator.server.facts import Fact
from orchestrator.server.store.sqlite_connection import (
    RESTORE,
    SqliteConnection,
    is_full,
    translated,
)
from orchestrator.server.store.writer import TryAgain

GROUP_MAX: Final = 128
"""Bounds how long the first of a group waits for the last; the sync is amortised long before."""


class SqliteTransaction(SqliteConnection):
    """What an operation sees; it lives as long as the group."""

    def __init__(self, raw: sqlite3.Connection, now_us: int) -> None:
        super().__init__(raw, now_us)
        self.facts: list[Fact] = []

    def announce(self, fact: Fact) -> None:
        """Let subscribers know once this is committed."""
        self.facts.append(fact)


class SqliteEngine:
    """The writer's connection."""

    group_max = GROUP_MAX
    refusals: tuple[type[Exception], ...] = (sqlite3.IntegrityError,)

    def __init__(
        self, raw: sqlite3.Connection, path: Path, *, make_room: Callable[[], bool]
    ) -> None:
        self._raw = raw
        self._path = path
        self._identity = _identity(path)
        self._make_room = make_room

    def begin(self, now_us: int) -> SqliteTransaction:
        """Begin at once as a writer, so that no operation has to become one half-way.

        The file must still be the one that was opened: SQLite would go on in a file that has no
        name any more, and what was acknowledged would be gone with the process.
        """
        if _identity(self._path) != self._identity:
            raise StoreBusy(
                "the database was moved, removed or replaced: nothing was stored",
                code="storage_failed",
                hint=f"put it back as it was; if it is gone, {RESTORE}",
            )
        self._raw.execute("BEGIN IMMEDIATE")
        return SqliteTransaction(self._raw, now_us)

    def begin_operation(self) -> None:
        """Set a savepoint before an operation."""
        self._raw.execute("SAVEPOINT operation")

    def undo_operation(self) -> None:
        """Take back everything since the last savepoint."""
        self._raw.execute("ROLLBACK TO operation")

    def end_operation(self) -> None:
        """Keep what was done since the savepoint."""
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
            raise self.translated(error) from error

    def rollback(self) -> None:
        """Take the whole group back; a full disk may have ended the transaction already."""
        if self._raw.in_transaction:
            self._raw.execute("ROLLBACK")

    def translated(self, error: Exception) -> Exception:
        """Return what an error of the driver means; a full disk is tried again with more room."""
        told = translated(error) if isinstance(error, sqlite3.Error) else error
        return TryAgain(told) if isinstance(told, StorageFull) and self._make_room() else told


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116  # a third of the price, and paid for each group
    except OSError:
        return None
    return found.st_dev, found.st_ino
