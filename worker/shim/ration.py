"""How much of a command's output is kept, where its worker allows less than the server does.

The beginning, and of the rest the end: what went wrong is said last. In between it only counts. The
end is held in memory until nobody can say any more, so it is short.
"""

import collections
from typing import Final

from orchestrator.protocol.frames import FrameType

TAIL_BYTES: Final = 64 * 1024
"""A screenful or two; a shim has two megabytes of its own."""
_TAIL_SHARE: Final = 4
"""Of a small ration, no more than a quarter is for the end."""
Piece = tuple[FrameType, bytes]
_NOTE: Final = (
    "orchestrator: {} bytes of output were not kept here: "
    "the worker keeps {} of a job's output, its beginning and its end\n"
)


class Ration:
    """What is kept of one command's output."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._tail_bytes = min(TAIL_BYTES, most_bytes // _TAIL_SHARE)
        self._left = most_bytes - self._tail_bytes
        self._tail: collections.deque[Piece] = collections.deque()
        self._held = 0
        self.dropped = 0
        """The bytes that are not kept."""

    def admit(self, frame_type: FrameType, data: bytes) -> bytes:
        """Return what of it is to be written now."""
        now, later = data[: self._left], data[self._left :]
        self._left -= len(now)
        if later:
            self._tail.append((frame_type, later))
            self._held += len(later)
            self._trim()
        return now

    def _trim(self) -> None:
        while self._held > self._tail_bytes:
            over = self._held - self._tail_bytes
            frame_type, data = self._tail.popleft()
            if len(data) > over:
                self._tail.appendleft((frame_type, data[over:]))
            gone = min(over, len(data))
            self._held -= gone
            self.dropped += gone

    def rest(self) -> list[Piece]:
        """Return what is to be written when nobody says anything any more."""
        pieces, self._held = list(self._tail), 0
        self._tail.clear()
        if self.dropped:
            note = _NOTE.format(self.dropped, in_words(self._most)).encode()
            pieces.insert(0, (FrameType.NOTE, note))
        return pieces


def in_words(size: int) -> str:
    """Return a number of bytes as people say it."""
    for unit, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} bytes"
