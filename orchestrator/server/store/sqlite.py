"""The store on one SQLite file: whether it is ours to open, its shape, and its parts."""

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from orchestrator.kernel.clock import Clock
from orchestrator.kernel.errors import JournalCorrupt, VersionUnsupported
from orchestrator.kernel.failpoints import reached
from orchestrator.server.store.group_store import GroupStore
from orchestrator.server.store.migration import LEDGER, ours, still_to_take
from orchestrator.server.store.sqlite_connection import (
    APPLICATION_ID,
    RESTORE,
    connect,
    prepare_writer,
    translated,
)
from orchestrator.server.store.sqlite_engine import SqliteEngine
from orchestrator.server.store.sqlite_readers import Readers
from orchestrator.server.store.writer import Fatal, end_process

OLDEST_SQLITE: Final = (3, 37, 0)
"""RETURNING came with 3.35; the versions before this one had faults in it."""
LOOK_S: Final = 0.5
"""For so long a database is looked over before it is opened: all of a small one, and the first
tables of one with a million jobs, whose start must be quick as well."""
_STEPS_BETWEEN_LOOKS: Final = 10_000


def no_room() -> bool:
    """Have nothing that could be given up."""
    return False


def open_sqlite(
    path: Path,
    clock: Clock,
    *,
    fatal: Fatal = end_process,
    make_room: Callable[[], bool] = no_room,
) -> GroupStore:
    """Open a database file, or make one, and take the steps that it lacks. Blocks."""
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise VersionUnsupported(
            f"this Python brings SQLite {sqlite3.sqlite_version}; 3.37 or newer is needed",
            hint="use a Python that was built with a newer SQLite",
        )
    try:
        if path.exists() and path.stat().st_size:
            refuse_what_is_not_ours(path)
            _refuse_what_is_damaged(path, clock)
        else:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        raw = connect(path, writable=True)
        try:
            prepare_writer(raw)
            _migrate(raw, clock)
        except BaseException:
            raw.close()
            raise
        engine = SqliteEngine(raw, path, make_room=make_room)
        return GroupStore(engine, Readers(path, clock), clock, let_go=raw.close, fatal=fatal)
    except sqlite3.Error as error:
        raise _unusable(path, error) from error


def _unusable(path: Path, error: sqlite3.Error) -> Exception:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    if code in {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}:
        return _corrupt(path, str(error))
    return translated(error)


def _corrupt(path: Path, what: str) -> JournalCorrupt:
    return JournalCorrupt(
        f"{path} does not read back as a database: {what}",
        hint=f"nothing was changed; {RESTORE}",
    )


def refuse_what_is_not_ours(path: Path) -> None:
    """Look at a file through a connection that cannot write, and raise if it is not for us."""
    if path.with_name(f"{path.name}-journal").exists():
        _roll_back(path)
    with contextlib.closing(connect(path, writable=False)) as raw:
        (application,) = raw.execute("PRAGMA application_id").fetchone()
        (tables,) = raw.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if tables and application != APPLICATION_ID:
            raise VersionUnsupported(
                f"{path} is a database, but not one of ours",
                hint="choose another data directory",
            )
        still_to_take(_ledger(raw), ours())


def _roll_back(path: Path) -> None:
    """Undo what the journal beside a file undoes, as whoever reads it first has to.

    One is there if the very first start was cut off: then nothing can be read before this.
    """
    with contextlib.closing(connect(path, writable=True)) as raw:
        raw.execute("SELECT count(*) FROM sqlite_schema").fetchone()


def _refuse_what_is_damaged(path: Path, clock: Clock) -> None:
    """Look a database over, and raise for what does not fit together."""
    if path.with_name(f"{path.name}-journal").exists():
        return
    with contextlib.closing(connect(path, writable=False)) as raw:
        damage = _damage(raw, clock)
    if damage:
        raise _corrupt(path, damage)


def _damage(raw: sqlite3.Connection, clock: Clock) -> str | None:
    """Return the first damage that a short look finds."""
    until = clock.monotonic() + LOOK_S
    raw.set_progress_handler(lambda: clock.monotonic() > until, _STEPS_BETWEEN_LOOKS)
    try:
        (found,) = raw.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        return None
    finally:
        raw.set_progress_handler(None, 0)
    return None if found == "ok" else str(found)


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
                reached("migrate.statement")
            raw.execute(
                "INSERT INTO migration VALUES (?, ?, ?, ?)",
                (step.number, step.name, step.checksum, round(clock.now() * 1_000_000)),
            )


@contextlib.contextmanager
def _transaction(raw: sqlite3.Connection) -> Iterator[None]:
    raw.execute("BEGIN IMMEDIATE")
    yield
    raw.execute("COMMIT")
