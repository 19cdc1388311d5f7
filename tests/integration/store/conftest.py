"""One fixture: a world for each database."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.store.databases import DATABASES
from tests.integration.store.world import World


@pytest.fixture(params=sorted(DATABASES))
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """A new database with nobody in it, and a clock that only a test moves."""
    it = World(DATABASES[request.param], tmp_path)
    it.open()
    yield it
    await it.close()
