"""The files of long output logs: parts of about 4 MiB, each a run of whole frames.

It knows no job state and no database: which parts there are, and how much of each counts, is in
committed rows that are handed in as an `OutputState`. Bytes behind a committed length are the trace
of a write whose commit never came; the next write goes over them, so nothing has to be mended at
start. A part is named by the offset at which it begins in the whole log.
"""

import contextlib
import errno
import logging
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from orchestrator.kernel import logs
from orchestrator.kernel.errors import RequestInvalid, StorageFull, StoreBusy
from orchestrator.kernel.failpoints import reached
from orchestrator.kernel.files import sync_dir
from orchestrator.protocol.frames import HEAD_BYTES, MAX_DATA, decode
from orchestrator.server.edge.refusals import Declined

_SHARD_CHARS: Final = 2
"""The last characters of an id are random: 1,024 folders, so that none gets long."""
FRAMES_AT_ONCE: Final = 500
"""Rendering that many takes some ten milliseconds of the event loop."""
_LOGGER: Final = logging.getLogger(__name__)


class OutputLost(Declined):
    """A part file is gone or damaged, although rows name it: somebody was at the disk."""

    def __init__(self, job_id: str, attempt: int, offset: int) -> None:
        about = {"job": job_id, "attempt": attempt, "offset": offset}
        logs.event(_LOGGER, logging.ERROR, "output.lost", **about)
        super().__init__(
            410,
            "output_lost",
            f"the server's disk has lost output of attempt {attempt}, from {attempt}.{offset} on",
            hint="how the job ended is still known: orchestrator jobs show",
        )


@dataclass(frozen=True, slots=True)
class Part:
    """A part file: where it begins, its committed length, and the command's own bytes in it."""

    start: int
    length: int
    own_bytes: int

    @property
    def end(self) -> int:
        """Return the offset behind it."""
        return self.start + self.length


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes for a part: which one, where in it, and what."""

    start: int
    at: int
    data: bytes


@dataclass(frozen=True, slots=True)
class OutputState:
    """What is committed of an attempt's output. `closed` means that nothing will be added.

    `missing_bytes` of the command's own are neither in it nor were dropped from it.
    """

    job_id: str
    attempt: int
    length: int
    inline: bytes = b""
    parts: tuple[Part, ...] = ()
    gap_start: int = 0
    gap_end: int = 0
    dropped_bytes: int = 0
    missing_bytes: int = 0
    closed: bool = False

    def beyond_gap(self, offset: int) -> int:
        """Return where to read when asked to read at `offset`: not in what was left out."""
        return self.gap_end if self.gap_start <= offset < self.gap_end else offset

    def own_behind_gap(self) -> int:
        """Return how many of the command's own bytes were written before the gap's end."""
        head = sum(part.own_bytes for part in self.parts if part.end <= self.gap_start)
        return head + self.dropped_bytes

    def part_at(self, offset: int) -> Part | None:
        """Return the part that is read when asked to read at `offset`."""
        offset = self.beyond_gap(offset)
        return next((part for part in self.parts if part.start <= offset < part.end), None)

    def require_newer(self, outdated: "OutputState", offset: int) -> None:
        """Refuse to be another state that names the part which `outdated` named in vain.

        A part is dropped only once no row names it, so that part was not dropped: it is lost.
        """
        mine, theirs = self.part_at(offset), outdated.part_at(offset)
        if (mine and mine.start) == (theirs and theirs.start):
            raise OutputLost(self.job_id, self.attempt, offset)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Whole frames, and where they begin and end. `offset` is beyond what was asked at a gap."""

    offset: int
    frames: bytes

    @property
    def end(self) -> int:
        """Return where to read on."""
        return self.offset + len(self.frames)


class OutputFiles:
    """A folder of output logs. Its methods block; call them off the event loop."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _home(self, job_id: str) -> Path:
        return self._folder / job_id[-_SHARD_CHARS:] / job_id

    def path(self, job_id: str, attempt: int, start: int) -> Path:
        """Return where a part is, or would be."""
        return self._home(job_id) / f"{attempt}.{start}"

    def write(self, job_id: str, attempt: int, pieces: Sequence[Piece]) -> None:
        """Put pieces in their places and return when they, and their names, are on the disk.

        A repeated write puts the same bytes in the same places again. That also makes it safe to
        try again after a failed sync: the pages are written anew, not believed to be there.
        """
        try:
            home = self._home(job_id)
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            for piece in pieces:
                self._write_piece(job_id, attempt, piece)
            if any(piece.at == 0 for piece in pieces):
                sync_dir(home)
            if any(piece.start == piece.at == 0 for piece in pieces):
                # A log begins. That its folder is there already does not mean that the name of the
                # folder is on the disk: the crash may have come between the two.
                sync_dir(home.parent)
                sync_dir(self._folder)
        except OSError as error:
            raise _unwritable(error) from error

    def _write_piece(self, job_id: str, attempt: int, piece: Piece) -> None:
        """Write and sync one piece."""
        path = self.path(job_id, attempt, piece.start)
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o600)
        try:
            rest, at = memoryview(piece.data), piece.at
            while rest:
                written = os.pwrite(descriptor, rest, at)
                rest, at = rest[written:], at + written
            reached("output.appended")
            os.fsync(descriptor)
            reached("output.synced")
        finally:
            os.close(descriptor)

    def gone(self, state: OutputState) -> int | None:
        """Return where the first part begins that has no file; `None` when all are there."""
        files = ((part, self.path(state.job_id, state.attempt, part.start)) for part in state.parts)
        return next((part.start for part, path in files if not path.is_file()), None)

    def read(
        self, state: OutputState, *, offset: int, limit: int, frames: int = FRAMES_AT_ONCE
    ) -> Chunk | None:
        """Return whole frames from `offset` on: about `limit` bytes, but at least one frame.

        It is at most `frames` of them, because tiny ones cost whoever renders them. The chunk is
        empty at the end of what is committed. `None` means that the state is out of date, because
        what it names was dropped since: read it again.
        """
        if offset < 0:
            raise _no_beginning(offset)
        offset = state.beyond_gap(offset)
        if offset >= state.length:
            return Chunk(offset, b"")
        if not state.parts:
            data = state.inline[offset : offset + max(limit, _ANY_FRAME)]
            return _whole(Chunk(offset, data), frames)
        part = state.part_at(offset)
        if part is None:
            return None
        chunk = self._read_part(state, part, offset=offset, limit=limit)
        return None if chunk is None else _whole(chunk, frames)

    def _read_part(
        self, state: OutputState, part: Part, *, offset: int, limit: int
    ) -> Chunk | None:
        path = self.path(state.job_id, state.attempt, part.start)
        wanted = min(max(limit, HEAD_BYTES), part.end - offset)
        try:
            with path.open("rb") as file:
                file.seek(offset - part.start)
                data = file.read(wanted)
                if not _first_is_whole(data):
                    data += file.read(min(_ANY_FRAME, part.end - offset) - len(data))
        except FileNotFoundError:
            return None
        if len(data) < wanted:
            raise OutputLost(state.job_id, state.attempt, offset)
        return Chunk(offset, data)

    def drop(self, job_id: str, attempt: int, starts: Iterable[int]) -> None:
        """Remove parts that no committed row names any more."""
        for start in starts:
            self.path(job_id, attempt, start).unlink(missing_ok=True)

    def remove(self, job_id: str) -> None:
        """Remove everything of a job."""
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self._home(job_id))


_ANY_FRAME: Final = HEAD_BYTES + MAX_DATA


def _first_is_whole(data: bytes) -> bool:
    return next(decode(data), None) is not None


def _whole(chunk: Chunk, frames: int) -> Chunk:
    """Cut a chunk behind its last whole frame; refuse one that does not begin with a frame."""
    end = 0
    for frame in islice(decode(chunk.frames), frames):
        end = frame.end
    if end == 0:
        raise _no_beginning(chunk.offset)
    return Chunk(chunk.offset, chunk.frames[:end])


def _no_beginning(offset: int) -> RequestInvalid:
    return RequestInvalid(
        f"no piece of output begins at {offset}",
        hint="read on from a cursor that was given to you, or from the beginning",
        code="cursor_invalid",
    )


def _unwritable(error: OSError) -> StoreBusy:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return StorageFull("the disk of the server is full: the output was not stored")
    return StoreBusy(
        f"the output cannot be stored: {error.strerror}",
        code="storage_failed",
        hint="check the disk, and the permissions of the data directory",
    )
