"""What a person at a terminal sees: tables, escapes, advice and a bar, none of it in a pipe."""

import contextlib
import fcntl
import hashlib
import os
import pty
import struct
import termios
import threading

import pytest

from tests.integration.cli.commands import CommandLine
from tests.support.fake_api import (
    CREATED,
    JOB_ID,
    FakeApi,
    Reply,
    answer,
    event,
    job,
    piece,
    stream,
)

JOBS = "/api/v1/jobs"
STREAM = f"{JOBS}/{JOB_ID}/output/stream"
HOSTILE = "\x1b]0;owned\x07\x1b[2Jred\u202e"


class Terminal:
    """A pseudo-terminal of 80 columns whose screen is kept."""

    def __init__(self) -> None:
        self._ours, self.theirs = pty.openpty()
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self._seen: list[bytes] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # EIO: nobody holds the other end any more
            while seen := os.read(self._ours, 65_536):
                self._seen.append(seen)

    def screen(self) -> str:
        """Return all that was written; nobody can write any more."""
        os.close(self.theirs)
        self._reader.join()
        os.close(self._ours)
        return b"".join(self._seen).decode()


@pytest.fixture
def person(cli: CommandLine) -> CommandLine:
    """Give a command line whose user has a terminal of a known kind."""
    return CommandLine(cli.folder, {**cli.env, "TERM": "xterm-256color", "LANG": "C.UTF-8"})


def _on_screen(cli: CommandLine, *arguments: str) -> str:
    terminal = Terminal()
    with cli.start(*arguments, stdout=terminal.theirs, stderr=terminal.theirs):
        pass
    return terminal.screen()


def _listed(fake: FakeApi) -> None:
    items = [job("failed", reason="exit_nonzero", exit_code=7, name=HOSTILE, worker="local")]
    fake.on("GET", JOBS, answer({"items": items, "next_cursor": None}))


def test_a_hostile_job_does_nothing_to_a_terminal(person: CommandLine, fake: FakeApi) -> None:
    """Control characters of the output are shown, not obeyed; an open line is ended."""
    fake.on("GET", STREAM, stream(piece(f"{HOSTILE}\n", 1), piece("open", 2), event("eof", job())))

    screen = _on_screen(person, "jobs", "logs", "-f", JOB_ID)

    assert screen.startswith("\\x1b]0;owned\\x07\\x1b[2Jred\\u202e\r\nopen\r\n")
    assert "\x1b" not in screen


def test_who_asks_for_it_gets_the_bytes(person: CommandLine, fake: FakeApi) -> None:
    """`--raw` is for those who trust the job: its colours work."""
    fake.on("GET", STREAM, stream(piece(f"{HOSTILE}\n", 1), event("eof", job("succeeded"))))

    assert _on_screen(person, "jobs", "logs", "-f", "--raw", JOB_ID) == f"{HOSTILE}\r\n"


def test_a_hostile_name_or_message_does_nothing_either(person: CommandLine, fake: FakeApi) -> None:
    """Cells, facts and sentences of ours are escaped like output."""
    _listed(fake)
    ended = job("failed", reason="spawn_error", message=f"{HOSTILE}\nnext", spec={"params": {}})
    fake.on("GET", f"{JOBS}/{JOB_ID}", answer(ended))

    for words in (("jobs", "list"), ("jobs", "show", JOB_ID), ("jobs", "wait", JOB_ID)):
        screen = _on_screen(person, *words)
        assert "\x07" not in screen
        assert "\x1b[2J" not in screen
        assert "\u202e" not in screen


def test_json_on_a_terminal_is_indented_and_harmless(person: CommandLine, fake: FakeApi) -> None:
    """A person gets it readable, and nothing in it can act."""
    _listed(fake)

    screen = _on_screen(person, "jobs", "list", "--json")

    assert f'\r\n      "id": "{JOB_ID}",\r\n' in screen
    assert screen.isascii()
    assert "\x1b" not in screen


def test_a_narrow_terminal_gets_the_columns_that_matter(person: CommandLine, fake: FakeApi) -> None:
    """Ids are never cut, because the next command needs them; rows stay one line each."""
    items = [
        job("succeeded", name="x" * 200, worker="local", summary="make all " * 10),
        job(pending_reason="all_slots_busy"),
    ]
    fake.on("GET", JOBS, answer({"items": items, "next_cursor": None}))

    lines = _on_screen(person, "jobs", "list").splitlines()

    assert len(lines) == 3
    assert "STATE" in lines[0]
    assert "KIND" not in lines[0]
    assert "COMMAND" in lines[0]
    assert "make all" in lines[1]
    assert "…" in lines[1]
    assert all(JOB_ID in line for line in lines[1:])
    assert "queued (all_slots_busy)" in lines[2]


def test_a_pipe_gets_plain_aligned_text(cli: CommandLine, fake: FakeApi) -> None:
    """No colour, no frame, one line for each job, columns that line up."""
    items = [job(name="first", worker="local"), job("succeeded", name="a longer name")]
    fake.on("GET", JOBS, answer({"items": items, "next_cursor": None}))

    lines = cli("jobs", "list").stdout.decode().splitlines()

    assert len(lines) == 3
    assert "\x1b" not in "".join(lines)
    assert (
        len(
            {line.index(word) for line, word in zip(lines, ("NAME", "first", "a lon"), strict=True)}
        )
        == 1
    )


def test_followers_are_told_that_leaving_is_safe(person: CommandLine, fake: FakeApi) -> None:
    """A person reads before anything else what Ctrl-C does; a script's streams stay clean."""
    fake.on("POST", JOBS, answer(job(), 201))
    fake.on("GET", STREAM, stream(piece("line\n", 1), event("eof", job("succeeded"))))

    screen = _on_screen(person, "jobs", "submit", "--follow", "--", "true")

    assert screen == f"orchestrator: {JOB_ID} is queued; Ctrl-C leaves it running\r\nline\r\n"


def test_an_upload_shows_how_far_it_is(person: CommandLine, fake: FakeApi) -> None:
    """A bar on standard error, which is taken away when it is done; standard output has the id."""

    def store(asked: object) -> Reply:
        body = getattr(asked, "body", b"")
        digest = hashlib.sha256(body).hexdigest()
        return answer({"sha256": digest, "size": len(body), "created_at": CREATED}, 201)

    fake.on("POST", "/api/v1/files", store)
    fake.on("POST", JOBS, answer(job(), 201))
    project = person.folder / "project"
    project.mkdir()
    (project / "data").write_bytes(os.urandom(2_000_000))

    terminal = Terminal()
    words = ("jobs", "submit", "--upload", "project", "--", "true")
    with person.start(*words, stderr=terminal.theirs) as submitter:
        assert submitter.stdout is not None
        assert submitter.stdout.read().decode() == f"{JOB_ID}\n"
    screen = terminal.screen()

    assert "packing 1 file" in screen
    assert "uploading" in screen
    assert "MiB" in screen


def test_no_colour_is_respected(person: CommandLine, fake: FakeApi) -> None:
    """`NO_COLOR` takes the colours and leaves the table."""
    _listed(fake)
    plain = CommandLine(person.folder, {**person.env, "NO_COLOR": "1"})

    assert "\x1b[31m" in _on_screen(person, "jobs", "list")
    assert "\x1b[31m" not in _on_screen(plain, "jobs", "list")
