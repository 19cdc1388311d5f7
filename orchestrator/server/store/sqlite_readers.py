"""Connections for queries: a few, each with its own view of the last commit.

They hold nobody up: in WAL mode a reader sees one committed state while the writer goes on. A query
that takes too long is stopped, because an old view keeps the log from being moved into the file,
and it would grow without end.
"""

import sqlite3
import threading
from pathlib import Path
from typing import Final, TypeVar

import anyio.to_thread
from anyio import CapacityLimiter

from orchestrator.kernel.clock import Clock
from orchestrator.kernel.errors import Unavailable
from orchestrator.server.store.interface import Query
from orchestrator.server.store.sqlite_connection import (
    SqliteConnection,
    connect,
    prepare_reader,
    translated,
)

T = TypeVar("T")

READERS: Final = 4
"""Queries at once. They share the interpreter with everybody else, so more would not be faster."""
QUERY_LIMIT_S: Final = 5.0
_STEPS_BETWEEN_LOOKS: Final = 10_000
"""Instructions of SQLite between two looks at the clock: far below a millisecond."""


class Readers:
    """A pool of read-only connections, opened when they are first needed."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._limiter = CapacityLimiter(READERS)
        self._guard = threading.Lock()
        self._idle: list[sqlite3.Connection] = []
        self._closed = False

    async def read(self, query: Query[T]) -> T:
        """Run a query in a thread and return its result."""
        return await anyio.to_thread.run_sync(self._run, query, limiter=self._limiter)

    def _run(self, query: Query[T]) -> T:
        try:
            raw = self._take()
            try:
                return self._answer(raw, query)
            finally:
                self._put_back(raw)
        except sqlite3.Error as error:
            raise translated(error) from error

    def _answer(self, raw: sqlite3.Connection, query: Query[T]) -> T:
        until = self._clock.monotonic() + QUERY_LIMIT_S
        raw.set_progress_handler(lambda: self._clock.monotonic() > until, _STEPS_BETWEEN_LOOKS)
        raw.execute("BEGIN")
        try:
            return query(SqliteConnection(raw, round(self._clock.now() * 1_000_000)))
        finally:
            raw.set_progress_handler(None, 0)
            if raw.in_transaction:
                raw.execute("ROLLBACK")

    def _take(self) -> sqlite3.Connection:
        with self._guard:
            if self._closed:
                raise Unavailable("the store is closed", hint="the server is stopping; ask again")
            if self._idle:
                return self._idle.pop()
        raw = connect(self._path, writable=False)
        try:
            prepare_reader(raw)
        except sqlite3.Error:
            raw.close()
            raise
        return raw

    def _put_back(self, raw: sqlite3.Connection) -> None:
        with self._guard:
            if not self._closed:
                self._idle.append(raw)
                return
        raw.close()

    def close(self) -> None:
        """Close what is idle now, and the rest as it comes back."""
        with self._guard:
            self._closed = True
            idle, self._idle = self._idle, []
        for raw in idle:
            raw.close()
