"""Connections to one SQLite file: how they are set up, and what their errors mean to us.

Durability is decided here and nowhere else: write-ahead log, `synchronous=FULL`, and on macOS the
stronger sync that its disks need.
"""

import sqlite3
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import quote

from orchestrator.kernel.errors import (
    AlreadyExists,
    InvariantViolated,
    JournalCorrupt,
    OrchestratorError,
    StateUnavailable,
    StorageFull,
    StoreBusy,
)
from orchestrator.protocol.words import JobEventType, JobState, Outcome, PendingReason, Reason
from orchestrator.server.store.interface import Row, Value
from orchestrator.server.store.statement import Places, for_sqlite

APPLICATION_ID: Final = 0x4F524348
"""`ORCH`: so that nobody else's database is ever taken for ours."""
BUSY_TIMEOUT_S: Final = 5.0
"""How long somebody else, such as a backup, may hold the file before we say so."""
STATEMENTS_CACHED: Final = 256
"""More than we have, so that every statement is compiled once for each connection."""
WAL_LIMIT_BYTES: Final = 64 * 1024 * 1024
WRITER_CACHE_KIB: Final = 64 * 1024
READER_CACHE_KIB: Final = 8 * 1024

RESTORE: Final = (
    "stop the server, keep the data directory as it is, and restore a backup: "
    "orchestrator server restore"
)
_BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_INTERRUPT})
_UNWRITABLE: Final = frozenset(
    {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}
)
_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_TAKEN: Final = frozenset({sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY})


class SqliteConnection:
    """One connection: it reads, and in the writer's hands it also writes."""

    def __init__(self, raw: sqlite3.Connection, now_us: int) -> None:
        self.raw = raw
        self.now_us = now_us

    def _cursor(self, sql: str, params: Mapping[str, Value]) -> sqlite3.Cursor:
        text, places = _with_places(sql)
        return self.raw.execute(text, places(params))

    def rows(self, sql: str, **params: Value) -> list[Row]:
        """Return every row that a statement gives."""
        cursor = self._cursor(sql, params)
        cursor.row_factory = sqlite3.Row
        return cast("list[Row]", cursor.fetchall())

    def row(self, sql: str, **params: Value) -> Row | None:
        """Return the first row, or `None`."""
        cursor = self._cursor(sql, params)
        cursor.row_factory = sqlite3.Row
        return cast("Row | None", cursor.fetchone())

    def tuples(self, sql: str, **params: Value) -> list[tuple[Any, ...]]:
        """Return every row as a plain tuple."""
        return self._cursor(sql, params).fetchall()

    def execute(self, sql: str, **params: Value) -> int:
        """Run a statement and return how many rows it changed."""
        return self._cursor(sql, params).rowcount

    def many(self, sql: str, params: Iterable[Mapping[str, Value]]) -> int:
        """Run a statement once for each set of parameters; return how many rows all changed."""
        text, places = _with_places(sql)
        return max(0, self.raw.executemany(text, map(places, params)).rowcount)


@lru_cache(maxsize=STATEMENTS_CACHED)
def _with_places(sql: str) -> tuple[str, Places]:
    """Return what the driver is given.

    `sqlite3` looks each name up for each execution, which costs as much as many a statement.
    """
    return for_sqlite(sql)


def _nothing(nothing: None) -> None:
    return nothing


def _adapt_words() -> None:
    """Tell `sqlite3` how to bind words from closed lists, and NULL: as what they are.

    What it has no adapter for it searches in three other ways first, each time that it is bound.
    """
    for words in (JobEventType, JobState, Outcome, PendingReason, Reason):
        sqlite3.register_adapter(words, str.__str__)
    sqlite3.register_adapter(type(None), _nothing)


def connect(path: Path, *, writable: bool) -> sqlite3.Connection:
    """Open the file. A reader cannot change it, not even by mistake."""
    _adapt_words()
    mode = "rwc" if writable else "ro"
    return sqlite3.connect(
        f"file:{quote(str(path))}?mode={mode}",
        uri=True,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,  # transactions are begun and ended by us alone
        check_same_thread=False,  # one thread at a time, but for readers not always the same
        cached_statements=STATEMENTS_CACHED,
    )


def prepare_writer(raw: sqlite3.Connection) -> None:
    """Make the connection durable, and the one that moves the log into the file."""
    for pragma in (
        "journal_mode = WAL",
        "synchronous = FULL",
        "fullfsync = ON",
        "checkpoint_fullfsync = ON",
        "foreign_keys = ON",
        "trusted_schema = OFF",
        "temp_store = MEMORY",
        f"cache_size = -{WRITER_CACHE_KIB}",
        f"journal_size_limit = {WAL_LIMIT_BYTES}",
    ):
        raw.execute(f"PRAGMA {pragma}")
    (mode,) = raw.execute("PRAGMA journal_mode").fetchone()
    if mode != "wal":
        raise StateUnavailable(
            "the file system of the database cannot keep a write-ahead log",
            hint="put the data directory on a local disk",
        )


def prepare_reader(raw: sqlite3.Connection) -> None:
    """Make the connection a good guest beside the writer."""
    for pragma in ("query_only = ON", "trusted_schema = OFF", f"cache_size = -{READER_CACHE_KIB}"):
        raw.execute(f"PRAGMA {pragma}")


def is_full(error: sqlite3.Error) -> bool:
    """Tell whether there is no room left: the one failure of a commit that can be survived."""
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL


def translated(error: sqlite3.Error) -> OrchestratorError | sqlite3.Error:
    """Return what a database error means to a caller; a mistake in our own SQL stays as it is."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    if code in _TAKEN:
        return AlreadyExists(f"the database holds this already: {error}")
    if isinstance(error, sqlite3.IntegrityError):
        return InvariantViolated(f"a rule of the database was broken: {error}")
    if is_full(error):
        return StorageFull("the disk of the server is full: nothing was stored")
    if code & 0xFF in _DAMAGED:
        return JournalCorrupt(f"the database does not read back: {error}", hint=RESTORE)
    if code & 0xFF in _BUSY:
        return StoreBusy(f"the database did not answer in {BUSY_TIMEOUT_S:g} s: {error}")
    if code & 0xFF in _UNWRITABLE:
        return StoreBusy(
            f"the database cannot be used: {error}",
            code="storage_failed",
            hint="check the disk, and the permissions of the data directory",
        )
    return error
