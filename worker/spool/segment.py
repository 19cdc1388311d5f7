"""One segment, read: the file that a shim appends to, or appended to while it lived.

It knows frames and the lock, and no attempt's meaning. Nobody but its shim ever writes it. A torn
or damaged frame ends what can be read: in a segment whose shim lives it is about to become whole,
in any other it is where the shim was killed.
"""

import fcntl
import json
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from orchestrator.kernel import linux
from orchestrator.kernel.cgroups import Cgroup
from orchestrator.kernel.errors import VersionUnsupported
from orchestrator.protocol.frames import Frame, FrameType, decode
from worker.records import Phase
from worker.shim import layout

Key = tuple[str, int]
"""An attempt: the id of its job, and its number."""
BUFFER_BYTES: Final = 1024 * 1024
"""Read at once. A frame of a shim is sixteen times smaller, so some always fit."""
_HEAD_BYTES: Final = 4096


class Process(NamedTuple):
    """A process for ever: its pid, and what tells it from whoever gets the pid later."""

    pid: int
    start_time: int | None
    boot_id: str


@dataclass(slots=True)
class Piece:
    """What one segment holds of one attempt."""

    key: Key
    start: int
    """Where its grant is."""
    offset: int
    """Of the attempt's output log, at its first output here."""
    phase: Phase = "granted"
    end: int | None = None
    """Where the next attempt begins, once this one has ended."""
    grace_s: float = 0.0
    """What its processes have between the order to end and their end."""
    over_by: float = math.inf
    """When all of it must be over, by the clock of the boot in which it was granted."""


@dataclass(slots=True)
class Survey:
    """What a segment holds from some place on, as far as it was written when it was read."""

    place: int
    pieces: list[Piece] = field(default_factory=list)
    successor: str | None = None

    @property
    def at_work(self) -> bool:
        """Tell whether its shim, if it lives, has an attempt here: then no order waits for it."""
        return self.successor is None and bool(self.pieces and self.pieces[-1].end is None)

    def add(self, frames: Iterable[Frame]) -> None:
        """Take in the frames that follow."""
        base = self.place
        for frame in frames:
            self.place = base + frame.end
            match frame.type:
                case FrameType.GRANT:
                    grant = json.loads(frame.data)
                    key = (grant["job"], grant["attempt"])
                    start = self.place - frame.size
                    piece = Piece(key, start, grant.get("offset", 0))
                    piece.grace_s = grant.get("grace_s", 0.0)
                    piece.over_by = grant.get("over_by") or math.inf
                    self.pieces.append(piece)
                case FrameType.PID:
                    self.pieces[-1].phase = "running"
                case FrameType.EXIT:
                    self.pieces[-1].phase, self.pieces[-1].end = "ended", self.place
                case FrameType.NEXT:
                    self.successor = json.loads(frame.data)["segment"]
                case _:
                    pass


class Segment:
    """A segment that is open for reading, and which attempts in it still matter."""

    def __init__(self, path: Path, buffer: bytearray) -> None:
        self.name = path.name
        self.path = path
        self._fd: int | None = _open(path)
        self._buffer = memoryview(buffer)
        self.closed = False
        """Whether nobody will ever write to it again."""
        self.named_durably = False
        self.held: dict[Key, int] = {}
        """Unsettled attempts, and where they begin here."""
        self.settled: dict[Key, int] = {}
        """Settled ones that come after an unsettled one."""
        self.settled_end = 0
        """The end of the last attempt that was settled."""

    @property
    def fd(self) -> int:
        """Return its descriptor: kept while somebody writes to it, else until the next `rest`."""
        if self._fd is None:
            self._fd = _open(self.path)
        return self._fd

    def rest(self) -> None:
        """Let go of the descriptor, unless the lock must be watched: there may be many segments."""
        if self.closed:
            self.close()

    def read(self, start: int) -> tuple[memoryview, list[Frame]]:
        """Return the whole frames from `start`, up to a megabyte, and the buffer that they are in.

        The buffer is the spool's only one: use it before the next read.
        """
        length = os.preadv(self.fd, [self._buffer], start)
        self.rest()
        view = self._buffer[:length]
        return view, list(decode(view))

    def read_on(self, survey: Survey) -> None:
        """Add to a survey what has been written since."""
        while frames := self.read(survey.place)[1]:
            survey.add(frames)

    def header(self) -> Process | None:
        """Return the shim that writes or wrote it; `VersionUnsupported` if that was a newer one.

        Nothing, if not even the header has survived, as after a power cut.
        """
        header = self._header()
        if header is None:
            return None
        if header["format"] > layout.FORMAT:
            raise VersionUnsupported(
                f"{self.path} has format {header['format']}, and this worker reads "
                f"{layout.FORMAT} at most",
                hint="start the newer version again; nothing was changed",
            )
        return Process(header["pid"], header["start_time"], header["boot_id"])

    def group(self) -> Cgroup | None:
        """Return the control group of whatever its shim has started, if there was one."""
        path = (self._header() or {}).get("cgroup")
        return None if path is None else Cgroup(Path(path))

    def _header(self) -> dict[str, Any] | None:
        frame = next(decode(os.pread(self.fd, _HEAD_BYTES, 0)), None)
        return None if frame is None else json.loads(frame.data)

    def is_final(self) -> bool:
        """Tell whether its shim is gone, by the lock that it holds as long as it lives."""
        if not self.closed:
            try:
                fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            fcntl.flock(self.fd, fcntl.LOCK_UN)
            self.closed = True
        return True

    def writer(self) -> int | None:
        """Return a pidfd that is the shim which writes it; `None` if it has gone, or just goes.

        Whoever still has the lock after the pidfd was opened had it before, so the pid was not yet
        anybody else's.
        """
        shim = None if self.is_final() else self.header()
        pidfd = None if shim is None else linux.open_pidfd(shim.pid)
        if pidfd is not None and self.is_final():
            os.close(pidfd)
            return None
        return pidfd

    def hold(self, key: Key, start: int) -> None:
        """Note that an attempt in it is not settled."""
        self.held[key] = start

    def settle(self, key: Key, end: int | None) -> None:
        """Note that an attempt in it is."""
        start = self.held.pop(key, None)
        if start is not None:
            self.settled[key] = start
        self.settled_end = max(self.settled_end, end or 0)

    def floor(self) -> int:
        """Return up to where everything is settled, and forget what is below."""
        floor = min(self.held.values(), default=self.settled_end)
        self.settled = {key: start for key, start in self.settled.items() if start >= floor}
        return floor

    @property
    def disposable(self) -> bool:
        """Tell whether nobody needs it any more."""
        return self.closed and not self.held

    def close(self) -> None:
        """Stop reading it."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def _open(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
