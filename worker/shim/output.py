"""The two pipes of a command, written down as they are read.

It knows neither deadlines nor the command. One read is one frame with its time, NULs and broken
UTF-8 included: nothing is decoded and nothing waits for the end of a line. When a frame cannot be
written, it and all that follow are counted instead, so that what is on disk stays a beginning of
what was said, without a hole.

A spool that holds as much as it may is met differently: soon the server may have taken some of it.
So the command is not listened to for a while, and then listened to without keeping what it says,
with a note where that begins and one that counts it where it ends.
"""

import math
import os
import select
import time
from typing import Final

from orchestrator.protocol.frames import FrameType
from orchestrator.protocol.limits import FRAME_DATA_BYTES
from worker.shim.journal import Journal
from worker.shim.ration import Ration
from worker.shim.room import is_full

_SCRAP_BYTES: Final = 4096
_BURST: Final = 32
_FLOOD_S: Final = 0.005
_GATHER_S: Final = 0.001
"""More than a burst of scraps, each this soon after the last: then they gather this long."""
_REST_BYTES: Final = 16 * 1024 * 1024
"""A pipe holds a mebibyte at most, unless root says otherwise. What is more than this when all are
dead comes from a process outside of the tree that was handed the pipe."""
PATIENCE_S: Final = 5.0
"""How long a command that prints waits for the server to take what it has printed. Longer, and an
outage of the server would become one of every talkative job."""
_LOOK_S: Final = 0.1
_BEGIN: Final = (
    "orchestrator: as much output waits for the server as the worker's spool may hold; "
    "what follows is not kept until there is room again\n"
)
_END: Final = "orchestrator: {} bytes of output were not kept here: the worker's spool was full\n"


class Output:
    """Where a command's words arrive."""

    def __init__(
        self, journal: Journal, poll: "select.poll", most_bytes: int | None = None
    ) -> None:
        self._journal = journal
        self._ration = None if most_bytes is None else Ration(most_bytes)
        self._poll = poll
        self._pipes: dict[int, FrameType] = {}
        self._scraps = 0
        self._heard = 0
        self._read_at = 0.0
        self.full: OSError | None = None
        """Why no more is written, once there was no room."""
        self.lost = 0
        """The bytes that were read and not written."""
        self.missed = 0
        """The bytes that were read while the spool held as much as it may."""
        self.look_at = math.inf
        """When to look whether the command, which is not listened to, can be listened to again."""
        self._patience_s = PATIENCE_S
        self._patient_until = 0.0
        self._gap_look_at = 0.0
        self._gap: int | None = None
        """The bytes that were not kept since the note that said so; `None` outside of a gap."""

    def pipe(self, frame_type: FrameType) -> int:
        """Make the pipe of one stream; return the end that the command gets."""
        ours, theirs = os.pipe()
        self._pipes[ours] = frame_type
        self._poll.register(ours, select.POLLIN)
        return theirs

    def __contains__(self, fd: int) -> bool:
        return fd in self._pipes

    def __bool__(self) -> bool:
        """Tell whether anybody can still say something."""
        return bool(self._pipes)

    def read(self, fd: int) -> bool:
        """Take what is there; tell whether it was anything but the end."""
        if self._must_wait():
            return False
        self._let_it_gather()
        data = os.read(fd, FRAME_DATA_BYTES)
        if not data:
            self._close(fd)
            return False
        self._scraps = self._scraps + 1 if len(data) < _SCRAP_BYTES else 0
        self._heard += len(data)
        if self._gap is not None:
            self._miss(len(data))
        else:
            self._write(self._pipes[fd], self._rationed(self._pipes[fd], data))
            if self.full is not None:
                self.lost += len(data)
        # Behind it: a segment that was begun for it counts what came before.
        self._journal.heard(self._pipes[fd], len(data))
        return True

    def _rationed(self, frame_type: FrameType, data: bytes) -> bytes:
        return data if self._ration is None else self._ration.admit(frame_type, data)

    @property
    def dropped(self) -> int:
        """Return the bytes that were more than may be kept."""
        return 0 if self._ration is None else self._ration.dropped

    def _write(self, frame_type: FrameType, data: bytes) -> None:
        if self.full is None and data:
            try:
                self._journal.output(frame_type, data)
            except OSError as error:
                self.stop_writing(error)

    def _must_wait(self) -> bool:
        """Tell whether nothing can be read now, because there is nowhere to put it."""
        now = time.monotonic()
        if self.look_at < math.inf:
            # The other pipe was found to be ready by the same look.
            return True
        if self.full is not None or now < self._gap_look_at:
            return False
        if self._journal.has_way():
            self._end_gap()
            return False
        if self._gap is not None:
            self._gap_look_at = now + _LOOK_S
            return False
        self._patient_until = now + self._patience_s
        if self._patience_s == 0:
            self._begin_gap()
            return False
        self.look_at = now + _LOOK_S
        for fd in self._pipes:
            self._poll.unregister(fd)
        return True

    def go_on_if_due(self, now: float) -> bool:
        """Listen again, if it was not listened to and that is over; tell whether it was not."""
        if now < self.look_at:
            return False
        self.look_at = now + _LOOK_S
        if self._journal.has_way():
            self._listen()
        elif now >= self._patient_until:
            self._begin_gap()
            self._listen()
        return True

    def _listen(self) -> None:
        self.look_at = math.inf
        for fd in self._pipes:
            self._poll.register(fd, select.POLLIN)

    def _begin_gap(self) -> None:
        self._gap = 0

    def _miss(self, size: int) -> None:
        if not self._gap:
            self._write(FrameType.NOTE, _BEGIN.encode())
        self._gap = (self._gap or 0) + size
        self.missed += size

    def _end_gap(self) -> None:
        """Keep what is said again. A gap in which nothing was said leaves no note."""
        if self._gap:
            self._write(FrameType.NOTE, _END.format(self._gap).encode())
        self._gap, self._gap_look_at = None, 0.0

    def _let_it_gather(self) -> None:
        """Wait a moment before reading, if a flood of scraps comes in.

        A word is read at once. But a command that prints line after line without a pause would
        otherwise be read line by line, which costs more than printing does.
        """
        now = time.monotonic()
        if now - self._read_at > _FLOOD_S:
            self._scraps = 0
        elif self._scraps > _BURST:
            time.sleep(_GATHER_S)
        self._read_at = now

    def stop_writing(self, error: OSError) -> None:
        """Note that there is no room; a disk that is broken instead is not survived."""
        if not is_full(error):
            raise error
        self.full = error

    def read_rest(self) -> None:
        """Take what the dead have left in their pipes, and close them."""
        limit = self._heard + _REST_BYTES
        self._patience_s = 0.0
        if self.look_at < math.inf:
            self._listen()
        for fd in list(self._pipes):
            last = select.poll()
            last.register(fd, select.POLLIN)
            while fd in self and last.poll(0) and self._heard < limit:
                self.read(fd)
        self.close()

    def close(self) -> None:
        """Hear no more."""
        self._end_gap()
        for frame_type, data in [] if self._ration is None else self._ration.rest():
            self._write(frame_type, data)
        for fd in list(self._pipes):
            self._close(fd)

    def _close(self, fd: int) -> None:
        self._poll.unregister(fd)
        del self._pipes[fd]
        os.close(fd)
