"""How an output log grows: which frames are new, where they go, what falls out of the middle.

Pure: bytes and numbers in, bytes and numbers out. A log stays inline up to 8 KiB; then all of it
goes into parts of about 4 MiB that hold whole frames. Up to 64 MiB of the command's own bytes are
kept complete; beyond that whole parts fall out behind the first 8 MiB, while at least the last
56 MiB stay, and the bytes that fell out are counted exactly. The same holds for the frames
themselves, at twice these sizes: tiny ones and notes take room on the disk that no byte of the
command accounts for.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from orchestrator.kernel.errors import RequestInvalid
from orchestrator.protocol.frames import (
    EMPTY_DIGEST,
    OUTPUT_TYPES,
    Frame,
    FrameType,
    chain,
    decode,
)
from orchestrator.protocol.limits import (
    OUTPUT_CAP_BYTES,
    OUTPUT_FRAMES_FACTOR,
    OUTPUT_HEAD_BYTES,
    OUTPUT_INLINE_BYTES,
    OUTPUT_PART_BYTES,
)
from orchestrator.server.output_log import Part, Piece

_TAIL_BYTES: Final = OUTPUT_CAP_BYTES - OUTPUT_HEAD_BYTES


@dataclass(frozen=True, slots=True)
class OutputLog:
    """Everything that is stored of a log but the parts' bytes."""

    length: int = 0
    digest: bytes = EMPTY_DIGEST
    stdout_bytes: int = 0
    stderr_bytes: int = 0
    inline: bytes = b""
    parts: tuple[Part, ...] = ()
    gap_start: int = 0
    gap_end: int = 0
    dropped_bytes: int = 0
    lines: int | None = 0
    """Line ends that came here, kept or not; `None` where an older version began to count none."""


@dataclass(frozen=True, slots=True)
class Growth:
    """A log before and after; `pieces` must be on the disk before `after` is committed."""

    before: OutputLog
    after: OutputLog
    pieces: tuple[Piece, ...] = ()

    @property
    def dropped(self) -> list[int]:
        """Return the starts of the parts that fell out."""
        kept = {part.start for part in self.after.parts}
        return [part.start for part in self.before.parts if part.start not in kept]


def grown(log: OutputLog, offset: int, data: bytes) -> Growth | None:
    """Return how the log grows by encoded frames that begin at `offset`.

    `None` when there is nothing new: all of it is stored already, or something before it is missing
    (the answer to the worker says from where on).
    """
    known = log.length - offset
    if known < 0 or known >= len(data):
        return None
    frames = _new_frames(data, known)
    fresh = data[known:]
    after = _counted(log, frames, data)
    if not log.parts and after.length <= OUTPUT_INLINE_BYTES:
        return Growth(log, replace(after, inline=log.inline + fresh))
    parts, pieces = _placed(log, frames, data)
    return Growth(log, _capped(replace(after, inline=b"", parts=parts)), pieces)


def _new_frames(data: bytes, known: int) -> list[Frame]:
    """Return the frames behind the first `known` bytes, or refuse what is not whole frames."""
    frames = list(decode(data))
    ends = [0, *(frame.end for frame in frames)]
    if ends[-1] != len(data) or known not in ends:
        raise RequestInvalid(
            "the output holds a frame that is torn or damaged",
            hint="send whole frames, as the shim wrote them",
            code="output_damaged",
        )
    new = frames[ends.index(known) :]
    if any(frame.type not in OUTPUT_TYPES for frame in new):
        raise RequestInvalid("the output holds a frame that is not output", code="output_damaged")
    return new


def _counted(log: OutputLog, frames: Sequence[Frame], data: bytes) -> OutputLog:
    """Return the log with its length, its counts and its digest carried on."""
    digest, stdout, stderr = log.digest, log.stdout_bytes, log.stderr_bytes
    length, lines = log.length, 0
    for frame in frames:
        digest = chain(digest, data[frame.end - frame.size : frame.end])
        stdout += len(frame.data) if frame.type == FrameType.OUT else 0
        stderr += len(frame.data) if frame.type == FrameType.ERR else 0
        lines += 0 if frame.type == FrameType.NOTE else frame.data.count(b"\n")
        length += frame.size
    return replace(
        log,
        length=length,
        digest=digest,
        stdout_bytes=stdout,
        stderr_bytes=stderr,
        lines=None if log.lines is None else log.lines + lines,
    )


def _own(frame: Frame) -> int:
    return 0 if frame.type == FrameType.NOTE else len(frame.data)


def _placed(
    log: OutputLog, frames: Sequence[Frame], data: bytes
) -> tuple[tuple[Part, ...], tuple[Piece, ...]]:
    """Return all parts with the frames in them, and what to write where."""
    parts = list(log.parts)
    buffers: dict[int, tuple[int, bytearray]] = {}
    if not parts:
        own = log.stdout_bytes + log.stderr_bytes
        parts = [Part(0, log.length, own)]
        buffers[0] = (0, bytearray(log.inline))
    for frame in frames:
        last = parts[-1]
        if last.length and last.length + frame.size > OUTPUT_PART_BYTES:
            last = Part(last.end, 0, 0)
            parts.append(last)
        _, buffer = buffers.setdefault(last.start, (last.length, bytearray()))
        buffer += data[frame.end - frame.size : frame.end]
        parts[-1] = Part(last.start, last.length + frame.size, last.own_bytes + _own(frame))
    pieces = [Piece(start, at, bytes(buffer)) for start, (at, buffer) in buffers.items()]
    return tuple(parts), tuple(pieces)


def _capped(log: OutputLog) -> OutputLog:
    """Let the oldest parts behind the head fall out, as long as enough of the tail is left."""
    if not _fills(log.parts, OUTPUT_CAP_BYTES + 1):
        return log
    head, tail = _split(log.parts)
    fallen = 0
    while _fills(tail[fallen + 1 :], _TAIL_BYTES):
        fallen += 1
    if not fallen:
        return log
    return replace(
        log,
        parts=head + tail[fallen:],
        gap_start=head[-1].end,
        gap_end=tail[fallen].start,
        dropped_bytes=log.dropped_bytes + sum(part.own_bytes for part in tail[:fallen]),
    )


def _fills(parts: Sequence[Part], size: int) -> bool:
    """Tell whether parts hold `size` own bytes, or the frames that may take their place."""
    own = sum(part.own_bytes for part in parts)
    return own >= size or sum(part.length for part in parts) >= size * OUTPUT_FRAMES_FACTOR


def _split(parts: tuple[Part, ...]) -> tuple[tuple[Part, ...], tuple[Part, ...]]:
    """Return the parts that hold the first 8 MiB, and the rest."""
    for behind in range(1, len(parts)):
        if _fills(parts[:behind], OUTPUT_HEAD_BYTES):
            return parts[:behind], parts[behind:]
    return parts, ()
