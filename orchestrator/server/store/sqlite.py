"""The store on one SQLite file.

It joins the parts: the check whether a file is ours to open, the writer's thread, the readers'
pool, and the way of facts to the event loop. What it promises is in `interface.py`.
"""

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, TypeVar

import anyio.to_thread

from orchestrator.kernel.clock import Clock
from orchestrator.kernel.errors import JournalCorrupt, VersionUnsupported
from orchestrator.server.facts import Fact
from orchestrator.server.store.interface import Operation, Query, Subscriber
from orchestrator.server.store.migration import LEDGER, ours, still_to_take
from orchestrator.server.store.sqlite_connection import (
    APPLICATION_ID,
    connect,
    prepare_writer,
    translated,
)
from orchestrator.server.store.sqlite_readers import Readers
from orchestrator.server.store.sqlite_writer import Call, Fatal, Writer, end_process

T = TypeVar("T")

OLDEST_SQLITE: Final = (3, 37, 0)
"""RETURNING came with 3.35; the versions before this one had faults in it."""


class SqliteStore:
    """A `Store` in a file. It belongs to the event loop that writes to it first."""

    def __init__(
        self, raw: sqlite3.Connection, path: Path, clock: Clock, *, fatal: Fatal = end_process
    ) -> None:
        self._raw = raw
        self._readers = Readers(path, clock)
        self._subscribers: list[Subscriber] = []
        self._writer = Writer(raw, clock, deliver=self._deliver, fatal=fatal)

    async def write(self, operation: Operation[T]) -> T:
        """Run an operation and return its result once it is durable."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._writer.submit(Call(operation, future))
        return await future

    async def read(self, query: Query[T]) -> T:
        """Run a query on one committed state and return its result."""
        return await self._readers.read(query)

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Give the facts of each commit to `subscriber`, on the loop; return what ends that."""
        self._subscribers.append(subscriber)
        return lambda: self._subscribers.remove(subscriber)

    async def aclose(self) -> None:
        """Finish what was asked, then let go of the file."""
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._close)

    def _close(self) -> None:
        self._writer.close()
        self._readers.close()
        self._raw.close()

    def _deliver(self, calls: Sequence[Call], facts: Sequence[Fact]) -> None:
        """Wake the loop once for the whole group. Called on the writer's thread."""
        loop = calls[0].future.get_loop()
        # A closed loop has nobody left who could wait for an answer.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(self._tell, calls, facts)

    def _tell(self, calls: Sequence[Call], facts: Sequence[Fact]) -> None:
        """Answer, then tell. Nobody who was answered runs before everybody was told."""
        for call in calls:
            call.answer()
        if facts:
            for subscriber in tuple(self._subscribers):
                subscriber(facts)


def open_sqlite(path: Path, clock: Clock, *, fatal: Fatal = end_process) -> SqliteStore:
    """Open a database file, or make one, and take the steps that it lacks. Blocks."""
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise VersionUnsupported(
            f"this Python brings SQLite {sqlite3.sqlite_version}; 3.37 or newer is needed",
            hint="use a Python that was built with a newer SQLite",
        )
    try:
        if path.exists() and path.stat().st_size:
            _refuse_what_is_not_ours(path)
        else:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        raw = connect(path, writable=True)
        try:
            prepare_writer(raw)
            _migrate(raw, clock)
        except BaseException:
            raw.close()
            raise
        return SqliteStore(raw, path, clock, fatal=fatal)
    except sqlite3.Error as error:
        raise _unusable(path, error) from error


def _unusable(path: Path, error: sqlite3.Error) -> Exception:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    if code in {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}:
        return JournalCorrupt(
            f"{path} does not read back as a database: {error}",
            hint="nothing was changed; keep the file, and restore a backup in its place",
        )
    return translated(error)


def _refuse_what_is_not_ours(path: Path) -> None:
    """Look at a file through a connection that cannot write, and raise if it is not for us."""
    with contextlib.closing(connect(path, writable=False)) as raw:
        (application,) = raw.execute("PRAGMA application_id").fetchone()
        (tables,) = raw.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if tables and application != APPLICATION_ID:
            raise VersionUnsupported(
                f"{path} is a database, but not one of ours",
                hint="choose another data directory",
            )
        still_to_take(_ledger(raw), ours())


def _ledger(raw: sqlite3.Connection) -> dict[int, str]:
    known = raw.execute("SELECT 1 FROM sqlite_schema WHERE name = 'migration'").fetchone()
    if known is None:
        return {}
    return dict(raw.execute("SELECT number, checksum FROM migration"))


def _migrate(raw: sqlite3.Connection, clock: Clock) -> None:
    """Take each missing step in a transaction of its own: a crash leaves whole steps."""
    with _transaction(raw):
        raw.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        raw.execute(LEDGER)
    for step in still_to_take(_ledger(raw), ours()):
        with _transaction(raw):
            for statement in step.statements():
                raw.execute(statement)
            raw.execute(
                "INSERT INTO migration VALUES (?, ?, ?, ?)",
                (step.number, step.name, step.checksum, round(clock.now() * 1_000_000)),
            )


@contextlib.contextmanager
def _transaction(raw: sqlite3.Connection) -> Iterator[None]:
    raw.execute("BEGIN IMMEDIATE")
    yield
    raw.execute("COMMIT")
