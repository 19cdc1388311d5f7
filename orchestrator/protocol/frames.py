"""Frames: the one format in which output and a spool's records are written and sent.

    length u32 · type u8 · time i64 (microseconds since the epoch) · crc32 u32 · data

The crc covers type, time and data, so a torn tail or a flipped bit ends the readable part exactly
there. A shim writes frames, a worker sends the output frames on unchanged, the server stores them
unchanged: one offset, counted in frame bytes, means the same place on all three.

Stdlib only, because the shim imports it.
"""

import hashlib
import struct
import zlib
from collections.abc import Iterator
from enum import IntEnum
from typing import Final, NamedTuple

_HEAD: Final = struct.Struct("<IBqI")
_CHECKED: Final = struct.Struct("<Bq")
HEAD_BYTES: Final = _HEAD.size
MAX_DATA: Final = 4 * 1024 * 1024
"""Nothing we write is longer; a longer length is damage."""
EMPTY_DIGEST: Final = b"\0" * 32


class FrameType(IntEnum):
    """Records of a spool are below 16, output is from 16 on."""

    HEADER = 1
    GRANT = 2
    PID = 3
    EXIT = 4
    SETTLED = 5
    NEXT = 6
    OUT = 16
    ERR = 17
    NOTE = 18


OUTPUT_TYPES: Final = frozenset({FrameType.OUT, FrameType.ERR, FrameType.NOTE})
STREAM_NAMES: Final = {FrameType.OUT: "stdout", FrameType.ERR: "stderr", FrameType.NOTE: "note"}


class Frame(NamedTuple):
    """One frame as read: its type, its time, its data, and where the next one begins."""

    type: int
    time_us: int
    data: bytes
    end: int

    @property
    def size(self) -> int:
        """Return the bytes that it takes, head and data."""
        return HEAD_BYTES + len(self.data)


def encode(frame_type: int, time_us: int, data: bytes) -> bytes:
    """Return the bytes of one frame."""
    crc = zlib.crc32(data, zlib.crc32(_CHECKED.pack(frame_type, time_us)))
    return _HEAD.pack(len(data), frame_type, time_us, crc) + data


def decode(buffer: bytes | memoryview, start: int = 0) -> Iterator[Frame]:
    """Yield whole, undamaged frames from `start`; stop at the first that is torn or damaged.

    A reader of a file that still grows begins again later at the `end` of the last frame.
    """
    view = memoryview(buffer)
    while start + HEAD_BYTES <= len(view):
        length, frame_type, time_us, crc = _HEAD.unpack_from(view, start)
        end = start + HEAD_BYTES + length
        if length > MAX_DATA or end > len(view):
            return
        data = bytes(view[start + HEAD_BYTES : end])
        if zlib.crc32(data, zlib.crc32(_CHECKED.pack(frame_type, time_us))) != crc:
            return
        yield Frame(frame_type, time_us, data, end)
        start = end


def chain(digest: bytes, encoded: bytes) -> bytes:
    """Return the digest of an output log that grew by one encoded frame.

    A chain, not one long hash: its 32 bytes can be stored at any frame and carried on after a
    restart, which the inner state of SHA-256 cannot.
    """
    return hashlib.sha256(digest + encoded).digest()
