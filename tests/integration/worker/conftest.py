"""A worker's place for each test: a fake server at a real socket, real processes for the rest."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.workers import Workplace, workplace


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Workplace]:
    """Give a server and the folders of a worker that was not started yet."""
    with workplace(tmp_path / "place") as place:
        yield place
