"""A server that answers as it is told, and a command line that talks to it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.cli.commands import CommandLine, at
from tests.integration.cli.doctors import Doctor
from tests.integration.cli.real import RealServer, real_server
from tests.support.configs import ConfigFolder
from tests.support.fake_api import FakeApi, fake_api


@pytest.fixture
def fake() -> Iterator[FakeApi]:
    """Give a server at a real socket."""
    with fake_api() as server:
        yield server


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    """Give one real server to all tests of a module that leave it running."""
    with real_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def cli(request: pytest.FixtureRequest, tmp_path: Path) -> CommandLine:
    """Give a command line in an empty folder; its server is `real` if a test asks for that one."""
    if "real" in request.fixturenames:
        server: RealServer = request.getfixturevalue("real")
        return CommandLine(tmp_path, server.env)
    fake: FakeApi = request.getfixturevalue("fake")
    return at(fake, tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a small project."""
    root = tmp_path / "project"
    (root / "src" / "deep").mkdir(parents=True)
    (root / "empty").mkdir()
    (root / "Makefile").write_text("test:\n\ttrue\n")
    (root / "src" / "main.c").write_text("int main(void) { return 0; }\n")
    (root / "src" / "deep" / "grüße.txt").write_text("hello\n")
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o4775)
    (root / "Makefile").chmod(0o600)
    return root


@pytest.fixture
def doctor(cli: CommandLine, fake: FakeApi, tmp_path: Path) -> Doctor:
    """Give a person whose configuration is good."""
    home = tmp_path / "conf"
    home.mkdir()
    made = Doctor(cli, ConfigFolder(home), fake)
    made.write(made.worker())
    return made
