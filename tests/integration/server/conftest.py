"""A server for each test that asks for one."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.server.site import Site, running


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """Give a new server with default settings."""
    folder = tmp_path / "server"
    folder.mkdir(mode=0o700)
    async with running(folder) as started:
        yield started
