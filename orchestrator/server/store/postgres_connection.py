"""One connection to PostgreSQL: our statements on it, and what its errors mean to us."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, cast

import psycopg
from psycopg import RawCursor, errors
from psycopg.rows import DictRow, TupleRow, dict_row

from orchestrator.kernel.errors import (
    AlreadyExists,
    InvariantViolated,
    OrchestratorError,
    RequestInvalid,
    StorageFull,
    StoreBusy,
)
from orchestrator.server.store.interface import Row, Value
from orchestrator.server.store.statement import Places, for_postgres
from orchestrator.server.store.writer import TryAgain

LOCK_TIMEOUT_S: Final = 5.0
"""How long another server, or a migration, may keep us from writing before we say so."""
STATEMENTS_CACHED: Final = 256
"""More than we have, so that every statement is planned once for each connection."""

Raw = psycopg.Connection[TupleRow]
_TAKEN_BACK: Final = (errors.SerializationFailure, errors.DeadlockDetected)
_WAITED: Final = (errors.LockNotAvailable, errors.QueryCanceled)
_UNWRITABLE: Final = (
    errors.ReadOnlySqlTransaction,
    errors.InsufficientPrivilege,
    errors.IoError,
)


class PostgresConnection:
    """One connection: it reads, and in the writer's hands it also writes."""

    def __init__(self, raw: Raw) -> None:
        self.raw = raw
        self.now_us = 0
        self._tuples: RawCursor[TupleRow] = RawCursor(raw)
        self._rows: RawCursor[DictRow] = RawCursor(raw, row_factory=dict_row)

    def rows(self, sql: str, **params: Value) -> list[Row]:
        """Return every row that a statement gives."""
        text, places = _with_places(sql)
        self._rows.execute(text, places(params))
        return cast("list[Row]", self._rows.fetchall() if self._rows.description else [])

    def row(self, sql: str, **params: Value) -> Row | None:
        """Return the first row, or `None`."""
        text, places = _with_places(sql)
        self._rows.execute(text, places(params))
        return cast("Row | None", self._rows.fetchone())

    def tuples(self, sql: str, **params: Value) -> list[tuple[Any, ...]]:
        """Return every row as a plain tuple."""
        text, places = _with_places(sql)
        self._tuples.execute(text, places(params))
        return self._tuples.fetchall()

    def execute(self, sql: str, **params: Value) -> int:
        """Run a statement and return how many rows it changed."""
        text, places = _with_places(sql)
        return self._tuples.execute(text, places(params)).rowcount

    def many(self, sql: str, params: Iterable[Mapping[str, Value]]) -> int:
        """Run a statement once for each set of parameters; return how many rows all changed."""
        text, places = _with_places(sql)
        self._tuples.executemany(text, list(map(places, params)))
        return max(0, self._tuples.rowcount)


@lru_cache(maxsize=STATEMENTS_CACHED)
def _with_places(sql: str) -> tuple[bytes, Places]:
    text, places = for_postgres(sql)
    return text.encode(), places


def translated(error: Exception, *, lost: bool = False) -> Exception:
    """Return what a database error means to a caller; a mistake in our own SQL stays as it is.

    `lost` says that the connection is gone, and with it the transaction.
    """
    if not isinstance(error, psycopg.Error):
        return error
    words = words_of(error)
    if lost:
        return TryAgain(unreachable(error))
    if isinstance(error, _TAKEN_BACK):
        return TryAgain(
            StoreBusy(f"the database took a transaction back, again and again: {words}")
        )
    return _meaning(error, words) or error


def _meaning(error: psycopg.Error, words: str) -> OrchestratorError | None:
    if isinstance(error, errors.UniqueViolation):
        return AlreadyExists(f"the database holds this already: {words}")
    if isinstance(error, psycopg.IntegrityError):
        return InvariantViolated(f"a rule of the database was broken: {words}")
    if isinstance(error, psycopg.DataError):
        return RequestInvalid(
            f"a value cannot be stored or looked for: {words}",
            hint="a text must not contain NUL (\\u0000), a number must fit into 64 bits",
        )
    if isinstance(error, errors.DiskFull):
        return StorageFull(
            "the disk of the database is full: nothing was stored",
            hint="make room on the disk of the database server",
        )
    if isinstance(error, _WAITED):
        return StoreBusy(f"the database did not answer in time: {words}")
    if isinstance(error, _UNWRITABLE):
        return StoreBusy(
            f"the database cannot be used: {words}",
            code="storage_failed",
            hint="is it a standby, read-only, or without rights for our user?",
        )
    if isinstance(error, psycopg.OperationalError):
        return StoreBusy(f"the database does not work just now: {words}")
    return None


def unreachable(error: Exception, name: str = "") -> StoreBusy:
    """Return what is told while the database is away."""
    words, hint = words_of(error), "nothing was stored; ask again"
    if "Connection refused" in words:
        words = "the connection was refused, so nobody listens there"
        hint = f"start PostgreSQL, or correct the address; {hint}"
    return StoreBusy(
        f"the database {name} cannot be reached: {words}".replace("  ", " "),
        code="storage_unreachable",
        hint=hint,
    )


def words_of(error: Exception) -> str:
    """Return the line of a driver's message that says what is wrong.

    Of several attempts to connect the last one counts; the rest of a message is our own statement.
    """
    primary = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    # A line that asks something is the driver's advice.
    told = [line.strip() for line in str(error).splitlines() if not line.rstrip().endswith("?")]
    lines = list(filter(None, told)) or [type(error).__name__]
    connecting = [line for line in lines if "connection" in line or "FATAL" in line]
    return primary or (connecting or lines)[-1]
