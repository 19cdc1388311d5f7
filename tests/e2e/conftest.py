"""A running installation for the stories that only need one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.booted import Booted, booted
from tests.support.installation import Installation, installed


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Give one installation to all stories of a file."""
    with installed(tmp_path_factory.mktemp("house")) as installation:
        yield installation


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Booted]:
    """Give one machine that systemd has booted to all stories of a file."""
    with booted(tmp_path_factory.mktemp("machine")) as found:
        yield found


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Give a place for an installation of a story's own."""
    return tmp_path / "home"
