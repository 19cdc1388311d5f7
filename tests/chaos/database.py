"""Where the server under test keeps its rows: a file of SQLite, or a PostgreSQL of our own.

The system is asked through its API; a database is asked only what the API does not tell, when
nobody writes any more.
"""

import contextlib
import signal
import sqlite3
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Final, Protocol

from tests.support.postgres import PostgresServer

KINDS: Final = ("sqlite", "postgresql")
_WHO: Final = "SELECT job_id, number, worker_id FROM attempt"
_OTHERS: Final = """
    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
_ORPHANS: Final = """
    SELECT 'attempt of no job: ' || job_id FROM attempt
    WHERE NOT EXISTS (SELECT 1 FROM job WHERE job.id = attempt.job_id)
"""


class Database(Protocol):
    """What a site needs to know of its database."""

    arguments: list[str]
    """What the server is told about it."""
    harm: tuple[str, ...]
    """Cards for the nemesis."""

    def crash(self) -> None:
        """End it as a machine does, and start it again."""

    def cut(self) -> None:
        """End every connection to it."""

    def faults(self) -> list[str]:
        """Return what it finds wrong with itself."""

    def workers(self) -> dict[str, str]:
        """Return `job attempt` → worker id."""


class SqliteFile:
    """A file. It has no process of its own to harm: it dies with the server."""

    harm: tuple[str, ...] = ()

    def __init__(self, path: Path) -> None:
        self.arguments: list[str] = []
        self._path = path

    def crash(self) -> None:
        """Do nothing: there is nobody."""

    def cut(self) -> None:
        """Do nothing."""

    def faults(self) -> list[str]:
        """Return what SQLite finds."""
        with closing(sqlite3.connect(self._path)) as database:
            checks = [row[0] for row in database.execute("PRAGMA integrity_check")]
            broken = [str(row) for row in database.execute("PRAGMA foreign_key_check")]
        return [fault for fault in checks if fault != "ok"] + broken

    def workers(self) -> dict[str, str]:
        """Return who ran what."""
        with closing(sqlite3.connect(self._path)) as database:
            return {f"{job} {number}": worker for job, number, worker in database.execute(_WHO)}


class Postgres:
    """A server of our own, which syncs what it commits."""

    harm: tuple[str, ...] = ("crash database", "cut database")

    def __init__(self, server: PostgresServer, hands: Executor) -> None:
        self._server = server
        # It dies with the thread that starts it, and the nemesis is gone before the judge.
        self._hands = hands
        self._name = server.new_database()
        self.arguments = [f"--database={server.url(self._name)}"]

    def crash(self) -> None:
        """Do what `pg_ctl stop -m immediate` does, and start it again."""
        self._server.stop(signal.SIGQUIT)
        self._hands.submit(self._server.start).result()

    def cut(self) -> None:
        """Terminate every other connection."""
        self._server.ask(self._name, _OTHERS)

    def faults(self) -> list[str]:
        """Return rows that belong to nothing; the rest is PostgreSQL's own business."""
        return [str(row[0]) for row in self._server.ask(self._name, _ORPHANS)]

    def workers(self) -> dict[str, str]:
        """Return who ran what."""
        rows = self._server.ask(self._name, _WHO)
        return {f"{job} {number}": worker for job, number, worker in rows}


@contextlib.contextmanager
def opened(kind: str, data: Path) -> Iterator[Database]:
    """Give a database for a server whose other data is in `data`."""
    if kind == "sqlite":
        yield SqliteFile(data / "orchestrator.db")
    else:
        with ThreadPoolExecutor(1) as hands, PostgresServer(durable=True) as server:
            yield Postgres(server, hands)
