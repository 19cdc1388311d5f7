"""Lines that go to a journal, with what they are about in fields."""

import contextlib
import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import clean_environment, python

SPEAKS = """
import logging
from orchestrator.kernel import logs
from orchestrator.kernel.journald import Journal
logs.set_up(journal=Journal.behind())
log = logging.getLogger("some.where")
with logs.bound(worker="web"):
    logs.event(log, logging.INFO, "attempt.ended", job="job_1", attempt=2, code=7, why="a\\nb")
log.warning("words of a %s", "library")
"""


class Journal:
    """A journal's two sockets, as systemd names them."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.stream.bind(str(folder / "stdout"))
        self.stream.listen()
        self.datagrams = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.datagrams.bind(str(folder / "socket"))
        self.datagrams.setblocking(False)
        self._folder = folder

    def hears(self, code: str) -> str:
        """Run a program whose standard error leads here; return what came by the stream."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stderr:
            stderr.connect(str(self._folder / "stdout"))
            subprocess.run(
                python("-c", code), env=clean_environment(), stderr=stderr.fileno(), check=True
            )
        accepted, _ = self.stream.accept()
        with accepted, accepted.makefile("r") as told:
            return told.read()

    def entries(self) -> Iterator[dict[str, str]]:
        """Yield the fields of each datagram."""
        with contextlib.suppress(BlockingIOError):
            while True:
                yield _fields(self.datagrams.recv(65_536))


def _fields(datagram: bytes) -> dict[str, str]:
    found = {}
    while datagram:
        name, _, rest = datagram.partition(b"\n")
        size = int.from_bytes(rest[:8], "little")
        found[name.decode()] = rest[8 : 8 + size].decode()
        assert rest[8 + size : 9 + size] == b"\n"
        datagram = rest[9 + size :]
    return found


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """Give a journal."""
    made = Journal(tmp_path / "journal")
    yield made
    made.stream.close()
    made.datagrams.close()


def test_what_a_line_is_about_are_fields(journal: Journal) -> None:
    """Worker, job and event can be looked for; the line itself is what it is everywhere."""
    assert journal.hears(SPEAKS) == ""

    ended, library = journal.entries()

    told = json.loads(ended.pop("MESSAGE"))
    assert (told["event"], told["worker"], told["why"]) == ("attempt.ended", "web", "a\nb")
    assert ended == {
        "PRIORITY": "6",
        "SYSLOG_IDENTIFIER": "orchestrator",
        "EVENT": "attempt.ended",
        "WORKER": "web",
        "JOB": "job_1",
        "ATTEMPT": "2",
    }
    assert (library["PRIORITY"], library["EVENT"]) == ("4", "log")
    assert "words of a library" in library["MESSAGE"]


def test_what_the_journal_does_not_take_goes_the_usual_way(journal: Journal) -> None:
    """It is a line of text there, as it was before: nothing is lost."""
    journal.datagrams.close()

    first, second = journal.hears(SPEAKS).splitlines()

    assert json.loads(first)["event"] == "attempt.ended"
    assert json.loads(second)["event"] == "log"
