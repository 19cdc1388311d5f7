"""A server for each test that asks for one.

Its database is a file, unless the test asks for `database` as well: then it runs once on each.
"""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.integration.server.backups import backup_of_a_busy_server
from tests.integration.server.site import Site, running
from tests.support.postgres import PostgresServer


@pytest.fixture
def database_url(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """Give the address of a clean database, or `None` for a file."""
    wanted = "database" in request.fixturenames and request.getfixturevalue("database")
    if wanted != "postgresql":
        yield None
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    name = server.clean_database()
    yield server.url(name)
    server.give_back(name)


@pytest.fixture
async def site(tmp_path: Path, database_url: str | None) -> AsyncIterator[Site]:
    """Give a new server with default settings."""
    folder = tmp_path / "server"
    folder.mkdir(mode=0o700)
    async with running(folder, database=database_url) as started:
        yield started


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    """Give a backup of a server that had something of everything; its data are in `server`."""
    return backup_of_a_busy_server(tmp_path)
