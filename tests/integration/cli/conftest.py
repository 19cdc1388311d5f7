"""A server that answers as it is told, and a command line that talks to it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.cli.commands import CommandLine, at
from tests.support.fake_api import FakeApi, fake_api


@pytest.fixture
def fake() -> Iterator[FakeApi]:
    """Give a server at a real socket."""
    with fake_api() as server:
        yield server


@pytest.fixture
def cli(fake: FakeApi, tmp_path: Path) -> CommandLine:
    """Give a command line in an empty folder."""
    return at(fake, tmp_path)
