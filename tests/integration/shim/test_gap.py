"""A gap in the output of one attempt: where it begins and ends, and how much is in it, exactly."""

import contextlib
import os
import select
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.protocol.frames import OUTPUT_TYPES, FrameType, decode
from tests.support.processes import open_descriptors
from worker.shim import layout, output
from worker.shim.journal import Journal
from worker.shim.output import PATIENCE_S, Output

LIMIT = 100_000
STREAMS = (FrameType.OUT, FrameType.ERR)


class Command:
    """A command that says what it is told to, and the shim that listens to it."""

    def __init__(self, spool: Path) -> None:
        self._spool = spool
        self._poll = select.poll()
        self._output = Output(Journal(str(spool), LIMIT), self._poll)
        self._others = spool / f"{layout.PREFIX}others-0"
        self._ends = [self._output.pipe(stream) for stream in STREAMS]
        """What it writes to."""
        self.said = [b"", b""]

    def say(self, stream: int, data: bytes) -> None:
        """Print something."""
        os.write(self._ends[stream], data)
        self.said[stream] += data

    def listen(self) -> int:
        """Read what is there to be read, as one look shows it; tell how much of it was."""
        return sum(self._output.read(fd) for fd, _ in self._poll.poll(0))

    def fill(self) -> None:
        """Leave no room in the spool."""
        with self._others.open("wb") as file:
            file.truncate(LIMIT)

    def empty(self) -> None:
        """Make room again."""
        self._others.unlink()

    def wait(self) -> None:
        """Let the patience with the server come to its end."""
        assert self._output.go_on_if_due(time.monotonic() + PATIENCE_S + 1.0)

    def end(self) -> None:
        """End: what is left in the pipes is read."""
        for end in self._ends:
            os.close(end)
        self._ends = []
        self._output.read_rest()

    def never_silent(self) -> None:
        """Have somebody else print into its pipe faster than anybody can read."""
        pipe = next(iter(self._output._pipes))
        zeros = os.open("/dev/zero", os.O_RDONLY)
        os.dup2(zeros, pipe, inheritable=False)
        os.close(zeros)

    @property
    def kept(self) -> list[tuple[int, bytes]]:
        """Return the frames of the output log, in their order."""
        paths = sorted(self._spool.glob("seg-*-?"), key=lambda path: path.name[-1])
        frames = [frame for path in paths for frame in decode(path.read_bytes())]
        return [(frame.type, frame.data) for frame in frames if frame.type in OUTPUT_TYPES]

    @property
    def missed(self) -> int:
        """Return how many bytes it is said to miss in all."""
        return self._output.missed


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Command]:
    """Give a command with a short segment that is full, in a spool that is."""
    monkeypatch.setattr(layout, "ROTATE_BYTES", 1000)
    monkeypatch.setattr(output, "_LOOK_S", 0.0)
    before = set(open_descriptors())
    command = Command(tmp_path)
    command.fill()
    command.say(0, b"a" * 1000)
    assert command.listen() == 1
    yield command
    for fd in set(open_descriptors()) - before:
        with contextlib.suppress(OSError):
            os.close(fd)


def _notes(missing: int) -> list[tuple[int, bytes]]:
    return [
        (FrameType.NOTE, output._BEGIN.encode()),
        (FrameType.NOTE, output._END.format(missing).encode()),
    ]


def test_both_streams_may_meet_the_limit_at_once(command: Command) -> None:
    """Output and errors that one look finds are both left where they are, and ended is nothing."""
    command.say(0, b"b")
    command.say(1, b"c")

    assert command.listen() == 0
    assert command.listen() == 0
    command.empty()
    command.wait()

    assert command.listen() == 2
    command.end()
    assert command.kept == [
        (FrameType.OUT, command.said[0][:1000]),
        (FrameType.OUT, b"b"),
        (FrameType.ERR, b"c"),
    ]


def test_a_gap_is_counted_to_the_byte(command: Command) -> None:
    """It begins with the first byte that is not kept, and ends before the next one that is."""
    command.say(0, b"b")
    assert command.listen() == 0
    command.wait()
    assert command.listen() == 1
    command.say(1, b"c" * 30)
    assert command.listen() == 1
    command.empty()
    command.say(0, b"d")
    assert command.listen() == 1
    command.end()

    assert command.kept[1:] == [*_notes(31), (FrameType.OUT, b"d")]
    assert command.missed == 31


def test_a_gap_in_which_nothing_was_said_is_none(command: Command) -> None:
    """There is room again before anything had to be thrown away: no note speaks of nothing."""
    command.say(0, b"b")
    assert command.listen() == 0
    command.wait()
    command.empty()
    assert command.listen() == 1
    command.end()

    assert command.kept[1:] == [(FrameType.OUT, b"b")]
    assert command.missed == 0


def test_what_a_dead_command_left_in_its_pipes_is_counted(command: Command) -> None:
    """It ends while it is not listened to: nobody waits, and its last words are in the gap."""
    command.say(0, b"b" * 500)
    command.say(1, b"c" * 11)
    assert command.listen() == 0
    command.end()

    assert command.kept[1:] == _notes(511)
    assert command.missed == 511


def test_a_gap_may_come_again(command: Command) -> None:
    """Each has its own notes, and the sum is that of both."""
    for number in (1, 2):
        command.say(0, b"b" * 20)
        assert command.listen() == 0
        command.wait()
        assert command.listen() == 1
        command.empty()
        command.say(0, b"d" * 1000)
        assert command.listen() == 1
        command.fill()
        assert command.missed == 20 * number
    command.end()

    assert command.kept[1:] == [*_notes(20), (FrameType.OUT, b"d" * 1000)] * 2


def test_a_stranger_with_the_pipe_does_not_hold_up_an_end(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody of the job is left and somebody else prints on: that is not listened to for ever."""
    monkeypatch.setattr(output, "_REST_BYTES", 1_000_000)
    command.never_silent()

    command.end()

    assert 1_000_000 <= command.missed < 1_100_000
    assert command.kept[1:] == _notes(command.missed)
