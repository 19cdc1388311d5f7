"""The store on a PostgreSQL database: whether it is ours to open, its shape, and its parts.

The tables live in the schema that comes first in the user's `search_path`, `public` as a rule.
"""

import contextlib
from collections.abc import Iterator
from typing import Final

import psycopg
from psycopg import errors

from orchestrator.kernel.clock import Clock
from orchestrator.kernel.errors import VersionUnsupported
from orchestrator.server.store.group_store import GroupStore
from orchestrator.server.store.migration import LEDGER, ours, still_to_take
from orchestrator.server.store.postgres_connection import Raw, translated
from orchestrator.server.store.postgres_engine import MARKS, WRITERS, PostgresEngine
from orchestrator.server.store.postgres_readers import PostgresReaders
from orchestrator.server.store.postgres_server import Server
from orchestrator.server.store.statement import step_for_postgres
from orchestrator.server.store.writer import Fatal, TryAgain, end_process

_COLUMNS: Final = {"number", "name", "checksum", "applied_us"}
_OURS: Final = """
    SELECT column_name FROM information_schema.columns
    WHERE table_schema = current_schema() AND table_name = 'migration'
"""
_TABLES: Final = """
    SELECT count(*) FROM information_schema.tables WHERE table_schema = current_schema()
"""


def open_postgres(
    url: str, clock: Clock, *, alone: bool = False, fatal: Fatal = end_process
) -> GroupStore:
    """Open a database, and take the steps that it lacks. Blocks.

    `alone` keeps every other server out that says so as well, for as long as this one lives.
    """
    server = Server(url, alone=alone)
    raw = server.connect_writer()
    try:
        server.check(raw)
        with _alone(raw):
            _refuse_what_is_not_ours(server, raw)
            _migrate(raw, clock)
        engine = PostgresEngine(server, raw)
    except BaseException as error:
        raw.close()
        if isinstance(error, errors.InsufficientPrivilege):
            raise server.lacks(error) from error
        if isinstance(error, psycopg.Error):
            meaning = translated(error)
            raise (meaning.told if isinstance(meaning, TryAgain) else meaning) from error
        raise
    return GroupStore(
        engine, PostgresReaders(server, clock), clock, let_go=engine.close, fatal=fatal
    )


@contextlib.contextmanager
def _alone(raw: Raw) -> Iterator[None]:
    """Keep every other server from writing, and from changing the shape, at the same time."""
    raw.execute(f"SELECT pg_advisory_lock({WRITERS})".encode())
    yield
    raw.execute(f"SELECT pg_advisory_unlock({WRITERS})".encode())


def _refuse_what_is_not_ours(server: Server, raw: Raw) -> None:
    """Look at a database without changing it, and raise if it is not for us."""
    columns = {name for (name,) in raw.execute(_OURS.encode())}
    ((tables,),) = raw.execute(_TABLES.encode()).fetchall()
    if columns != _COLUMNS and tables:
        raise VersionUnsupported(
            f"the database {server} has tables, but not ours",
            hint="create a database for the orchestrator alone",
        )
    still_to_take(_ledger(raw) if columns else {}, ours())


def _ledger(raw: Raw) -> dict[int, str]:
    return dict(raw.execute(b"SELECT number, checksum FROM migration").fetchall())


def _migrate(raw: Raw, clock: Clock) -> None:
    """Take all missing steps in one transaction: a crash leaves the shape that there was.

    A step has all the time that a large table needs. For a table that somebody else holds it waits
    no longer than a request would: everybody who comes after it waits behind it.
    """
    with raw.transaction():
        raw.execute(b"SET LOCAL statement_timeout = 0")
        raw.execute(LEDGER.encode())
        raw.execute(MARKS.encode())
        for step in still_to_take(_ledger(raw), ours()):
            for statement in step.statements():
                raw.execute(step_for_postgres(statement).encode())
            raw.execute(
                "INSERT INTO migration VALUES (%s, %s, %s, %s)",
                (step.number, step.name, step.checksum, round(clock.now() * 1_000_000)),
            )
