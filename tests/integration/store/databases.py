"""The databases on which every promise of the store is tested.

A new database is one more entry; nothing else in this folder names one, apart from the tests of
what is one database's alone.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestrator.kernel.clock import Clock
from orchestrator.server.store.interface import Store
from orchestrator.server.store.postgres import open_postgres
from orchestrator.server.store.sqlite import open_sqlite
from tests.support.postgres import PostgresServer

Opener = Callable[[Path, Clock], Store]
"""Opens the database of a folder; the same folder again is the same database."""


@contextmanager
def opener(name: str, request: pytest.FixtureRequest) -> Iterator[Opener]:
    """Give what opens databases of one kind, for the length of a test."""
    if name == "sqlite":
        yield lambda folder, clock: open_sqlite(folder / "orchestrator.db", clock)
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    databases: dict[Path, str] = {}

    def open_one(folder: Path, clock: Clock) -> Store:
        if folder not in databases:
            databases[folder] = server.clean_database()
        return open_postgres(server.url(databases[folder]), clock)

    yield open_one
    for database in databases.values():
        server.give_back(database)
