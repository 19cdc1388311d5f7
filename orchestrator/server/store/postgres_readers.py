"""Connections for queries: a few, each used by one query at a time, made when they are needed.

Each query has a transaction of its own that cannot write and sees one committed state. A query
whose connection broke is asked once more on a new one, because asking twice changes nothing.
"""

import threading
from typing import Final, TypeVar

import anyio.to_thread
import psycopg
from anyio import CapacityLimiter
from psycopg.pq import TransactionStatus

from orchestrator.kernel.clock import Clock
from orchestrator.kernel.errors import Unavailable
from orchestrator.server.store.interface import Query
from orchestrator.server.store.postgres_connection import PostgresConnection, Raw, translated
from orchestrator.server.store.postgres_server import Server
from orchestrator.server.store.writer import TryAgain

T = TypeVar("T")

READERS: Final = 4
"""Queries at once. They share the interpreter with everybody else, so more would not be faster."""
QUERY_LIMIT_S: Final = 5.0
_BEGIN: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = {}"


class PostgresReaders:
    """A pool of connections that only read."""

    def __init__(self, server: Server, clock: Clock) -> None:
        self._server = server
        self._clock = clock
        self._limiter = CapacityLimiter(READERS)
        self._guard = threading.Lock()
        self._idle: list[PostgresConnection] = []
        self._closed = False

    async def read(self, query: Query[T]) -> T:
        """Run a query in a thread and return its result."""
        return await anyio.to_thread.run_sync(self._run, query, limiter=self._limiter)

    def _run(self, query: Query[T]) -> T:
        try:
            return self._asked(query, self._take())
        except TryAgain:
            pass
        try:
            # The others were idle while the database was away, so they are dead as well.
            self._forget_idle()
            return self._asked(query, self._new())
        except TryAgain as again:
            raise again.told from again

    def _asked(self, query: Query[T], connection: PostgresConnection) -> T:
        raw = connection.raw
        try:
            raw.execute(_BEGIN.format(round(QUERY_LIMIT_S * 1000)).encode())
            connection.now_us = round(self._clock.now() * 1_000_000)
            return query(connection)
        except psycopg.Error as error:
            raise translated(error, lost=raw.closed or raw.broken) from error
        finally:
            self._put_back(connection)

    def _take(self) -> PostgresConnection:
        with self._guard:
            if self._closed:
                raise Unavailable("the store is closed", hint="the server is stopping; ask again")
            if self._idle:
                return self._idle.pop()
        return self._new()

    def _new(self) -> PostgresConnection:
        return PostgresConnection(self._server.connect())

    def _put_back(self, connection: PostgresConnection) -> None:
        raw = connection.raw
        if _is_clean(raw):
            with self._guard:
                if not self._closed:
                    self._idle.append(connection)
                    return
        raw.close()

    def _forget_idle(self) -> None:
        with self._guard:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.raw.close()

    def close(self) -> None:
        """Close what is idle now, and the rest as it comes back."""
        with self._guard:
            self._closed = True
        self._forget_idle()


def _is_clean(raw: Raw) -> bool:
    """End what a query left open; tell whether the connection can be used again."""
    try:
        if raw.info.transaction_status is not TransactionStatus.IDLE:
            raw.execute(b"ROLLBACK")
    except psycopg.Error:
        return False
    return not (raw.closed or raw.broken)
