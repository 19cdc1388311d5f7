"""A copy of a database as it is at one moment, while its server goes on writing.

The copy is made within one read transaction of ours, so it is one committed state however long it
takes, and no writer waits for it. Meanwhile the server's log grows, and shrinks again afterwards.
"""

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from orchestrator.kernel.errors import JournalCorrupt
from orchestrator.server.store.sqlite import refuse_what_is_not_ours
from orchestrator.server.store.sqlite_connection import connect, translated

PAGES_AT_ONCE: Final = 1024
"""4 MiB: often enough to show how far it is."""


@contextlib.contextmanager
def snapshot(
    source: Path, target: Path, advance: Callable[[int], None]
) -> Iterator[sqlite3.Connection]:
    """Copy a database into a new file, and give the copy to whoever finishes it.

    It is one file without a log, proven to be sound, when this is left.
    """
    try:
        refuse_what_is_not_ours(source)
        with contextlib.closing(sqlite3.connect(target, isolation_level=None)) as copy:
            _copy(source, copy, advance)
            copy.execute("PRAGMA journal_mode = DELETE")
            yield copy
            check(copy, source)
    except sqlite3.Error as error:
        raise translated(error) from error


def _copy(source: Path, copy: sqlite3.Connection, advance: Callable[[int], None]) -> None:
    with contextlib.closing(connect(source, writable=False)) as raw:
        raw.execute("BEGIN")
        # The moment is that of the first read. Without it each step would see another state, and
        # the copy would begin again whenever the server commits.
        (page,) = raw.execute("PRAGMA page_size").fetchone()
        raw.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        left = 0

        def told(_status: int, remaining: int, total: int) -> None:
            nonlocal left
            advance(((left or total) - remaining) * page)
            left = remaining

        raw.backup(copy, pages=PAGES_AT_ONCE, progress=told, sleep=0.0)


def check(raw: sqlite3.Connection, path: Path) -> None:
    """Refuse a database that does not read back as one."""
    faults = [text for (text,) in raw.execute("PRAGMA integrity_check(1)")]
    if faults != ["ok"] or raw.execute("PRAGMA foreign_key_check").fetchone() is not None:
        raise JournalCorrupt(
            f"the database {path} is damaged: {faults[0]}",
            hint="keep the file, and bring back an earlier backup",
        )
