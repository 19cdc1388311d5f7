"""Output for people: where a reader stands in it, and what comes next.

A position is an attempt and an offset in its log, the same on the worker, in the store and in the
`id` of an event. Whoever gives one reads on strictly behind it; nothing is remembered per reader.
"""

import base64
import re
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

import anyio
from anyio import to_thread

from orchestrator.kernel.errors import RequestInvalid
from orchestrator.protocol.base import moment
from orchestrator.protocol.frames import STREAM_NAMES, Frame, FrameType, decode
from orchestrator.protocol.views import JobView, OutputFrame
from orchestrator.server.operations.jobs import output_state, view_job
from orchestrator.server.output_log import (
    FRAMES_AT_ONCE,
    Chunk,
    OutputFiles,
    OutputLost,
    OutputState,
)
from orchestrator.server.store.interface import Reader

CHUNK_BYTES: Final = 256 * 1024
"""Read and sent at once: large enough to be cheap, small enough to share the loop."""
READS_AT_ONCE: Final = 4
_ALL: Final = CHUNK_BYTES
"""More frames than a chunk can hold."""
_CURSOR: Final = re.compile(r"([0-9]{1,16})\.([0-9]{1,18})")
_LAST_MOMENT_US: Final = 253_402_300_799_999_999
"""The end of the year 9999: a worker's clock may say anything, a date may not."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a reader stands; attempt 0 is before the first one."""

    attempt: int
    offset: int = 0

    @classmethod
    def parse(cls, text: str) -> "Position":
        """Return the position that a cursor names."""
        match = _CURSOR.fullmatch(text)
        if match is None:
            raise RequestInvalid(
                "this is not a cursor of output",
                hint="give a cursor as it came with a piece of output, for example 1.4096",
                fields=(("after", "must be attempt.offset"),),
                code="cursor_invalid",
            )
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.attempt}.{self.offset}"


class Scene(NamedTuple):
    """A job and the output of one of its attempts, as one commit shows them."""

    job: JobView
    output: OutputState


def look(reader: Reader, job_id: str, attempt: int | None) -> Scene | None:
    """Return a job and an attempt's output, by default the latest; `None` for no such job."""
    job = view_job(reader, job_id)
    output = output_state(reader, job_id, attempt or None)
    return Scene(job, output) if job is not None and output is not None else None


def require_within(position: Position, output: OutputState) -> None:
    """Refuse a position that lies behind everything that was ever written."""
    if position.offset > output.length:
        raise RequestInvalid(
            f"the output of attempt {output.attempt} ends at {output.length}",
            hint="read on from a cursor that was given to you, or from the beginning",
            code="cursor_invalid",
        )


class OutputReader:
    """Reads logs off the event loop, a few at a time."""

    def __init__(self, logs: OutputFiles) -> None:
        self._logs = logs
        self._limiter = anyio.CapacityLimiter(READS_AT_ONCE)

    async def read(
        self,
        output: OutputState,
        *,
        offset: int,
        limit: int = CHUNK_BYTES,
        frames: int = FRAMES_AT_ONCE,
        outdated: OutputState | None = None,
    ) -> Chunk | None:
        """Return the next whole frames; `None` when the state is outdated by now.

        Look again then, and hand in the one that was `outdated`: a file that the next look still
        names is lost, and whoever waited for news of it would wait for ever.
        """
        call = partial(self._logs.read, output, offset=offset, limit=limit, frames=frames)
        if not output.parts:
            return call()  # all of it came with the row
        chunk = await to_thread.run_sync(call, limiter=self._limiter)
        if chunk is None and outdated is not None:
            output.require_newer(outdated, offset)
        return chunk

    async def gone(self, output: OutputState) -> int | None:
        """Return where a part begins that is not on the disk, if there is one."""
        if not output.parts:
            return None
        return await to_thread.run_sync(self._logs.gone, output, limiter=self._limiter)

    async def bytes_of(
        self, output: OutputState, types: frozenset[FrameType]
    ) -> AsyncGenerator[bytes, None]:
        """Yield the command's own bytes of these streams, in the order of their frames.

        It breaks off when a part goes while it is read: what was promised cannot be given any more.
        """
        offset = 0
        while True:
            chunk = await self.read(output, offset=offset, frames=_ALL)
            if chunk is None:
                raise OutputLost(output.job_id, output.attempt, offset)
            if not chunk.frames:
                return
            offset = chunk.end
            yield await to_thread.run_sync(_own_bytes, chunk, types, limiter=self._limiter)


def count_own(chunk: Chunk) -> int:
    """Return how many of the command's own bytes are in a chunk."""
    return sum(len(f.data) for f in decode(chunk.frames) if f.type != FrameType.NOTE)


def _own_bytes(chunk: Chunk, types: frozenset[FrameType]) -> bytes:
    return b"".join(frame.data for frame in decode(chunk.frames) if frame.type in types)


def views(chunk: Chunk, attempt: int) -> Iterator[OutputFrame]:
    """Yield the frames of a chunk as people are shown them."""
    for frame in decode(chunk.frames):
        yield _view(frame, Position(attempt, chunk.offset + frame.end))


def _view(frame: Frame, behind: Position) -> OutputFrame:
    text, encoded = _shown(frame.data)
    return OutputFrame(
        cursor=str(behind),
        at=moment(max(0, min(frame.time_us, _LAST_MOMENT_US))),
        stream=STREAM_NAMES[FrameType(frame.type)],
        text=text,
        base64=encoded,
    )


def _shown(data: bytes) -> tuple[str | None, str | None]:
    """Return bytes as text when they are text, else as base 64: never changed, never guessed."""
    try:
        return data.decode(), None
    except UnicodeDecodeError:
        return None, base64.b64encode(data).decode("ascii")


def skipped_bytes(output: OutputState, position: Position, own: int | None = None) -> int | None:
    """Return how many of the command's own bytes lie between a position and the gap's end.

    `own` is how many lie before the position. Who came with a cursor from the midst of what was
    left out meanwhile does not know; then nobody does.
    """
    if position.offset == output.gap_start:
        return output.dropped_bytes
    return None if own is None else output.own_behind_gap() - own


def gap_view(
    output: OutputState, position: Position, chunk: Chunk, own: int | None
) -> dict[str, int | str | None]:
    """Return what is said where output was left out because there was too much of it."""
    return {
        "cursor": str(Position(output.attempt, chunk.offset)),
        "attempt": output.attempt,
        "from": position.offset,
        "to": chunk.offset,
        "dropped_bytes": skipped_bytes(output, position, own),
    }
