"""A world for each database, and what most worlds have in them."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.store.databases import opener
from tests.integration.store.logs import Logs
from tests.integration.store.scheduling import Bench
from tests.integration.store.world import Worker, World


@pytest.fixture
async def world(
    database: str, request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[World]:
    """A new database with nobody in it, and a clock that only a test moves."""
    with opener(database, request) as make:
        it = World(make, tmp_path)
        it.open()
        yield it
        await it.close()


@pytest.fixture
def logs(world: World, tmp_path: Path) -> Logs:
    """Output logs beside the world's database."""
    (tmp_path / "output").mkdir()
    return Logs(world, tmp_path / "output")


@pytest.fixture
async def worker(world: World) -> Worker:
    """A connected worker."""
    return await world.worker()


@pytest.fixture
def bench(world: World) -> Bench:
    """A world with schedules."""
    return Bench(world)
