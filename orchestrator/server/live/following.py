"""Following a job's output: one stream through all its attempts, without gaps or repeats.

The reader's position is all that there is to know of it. Whoever comes back with the id of the last
event goes on strictly behind it, on this server or the next.
"""

from collections.abc import AsyncGenerator
from functools import partial
from typing import NamedTuple

from pydantic_core import to_json

from orchestrator.core.job_lifecycle import TERMINAL
from orchestrator.protocol.views import JobView
from orchestrator.server.api.problems import problem_of
from orchestrator.server.live.bus import output_of
from orchestrator.server.live.output import (
    OutputReader,
    Position,
    Scene,
    count_own,
    gap_view,
    look,
    views,
)
from orchestrator.server.live.progress import ProgressNews
from orchestrator.server.live.reader import StreamReader
from orchestrator.server.live.sse import encode
from orchestrator.server.output_log import Chunk, OutputLost, OutputState
from orchestrator.server.store.interface import Store


class OutputStream:
    """One reader who follows a job's output, through all attempts or through one."""

    def __init__(
        self,
        store: Store,
        outputs: OutputReader,
        reader: StreamReader,
        job_id: str,
        *,
        only: int | None,
    ) -> None:
        self._store = store
        self._outputs = outputs
        self._reader = reader
        self._job_id = job_id
        self._only = only
        self._told: bytes | None = None
        self._progress = ProgressNews()
        self._outdated: OutputState | None = None
        self._own: int | None = None

    async def pieces(self, position: Position) -> AsyncGenerator[bytes, None]:
        """Yield everything behind `position` as it is committed, then `eof` with the job."""
        self._own = None if position.offset else 0
        with self._reader.watch(self._job_id, output_of(self._job_id)) as watch:
            while True:
                scene = await self._store.read(
                    partial(look, job_id=self._job_id, attempt=position.attempt)
                )
                if scene is None:
                    return
                if state := self._state(scene.job):
                    yield state
                if news := self._progress.of(scene.job):
                    yield news
                try:
                    step = await self._step(scene, position)
                except OutputLost as lost:
                    yield encode("problem", problem_of(lost).model_dump_json(exclude_none=True))
                    return
                piece = step.piece if step is not None else await self._reader.pause(watch)
                if piece is None:
                    return
                if piece:
                    yield piece
                if step is not None:
                    if step.over:
                        return
                    position = step.position

    async def _step(self, scene: Scene, position: Position) -> "_Step | None":
        """Return what comes next, or `None` when that is not written yet."""
        if position.attempt == 0 and scene.output.attempt > 0:
            return self._begin(Position(1))
        chunk = await self._outputs.read(
            scene.output, offset=position.offset, outdated=self._outdated
        )
        self._outdated = scene.output if chunk is None else None
        if chunk is None:
            return _Step(b"", position)  # the scene is outdated: look again
        if chunk.frames:
            behind = Position(position.attempt, chunk.end)
            piece = _events(scene.output, position, chunk, self._own)
            self._count(scene.output, position, chunk)
            return _Step(piece, behind)
        if self._is_last(scene, position.attempt):
            eof = encode("eof", scene.job.model_dump_json())
            return _Step(_incomplete(scene.output) + eof, position, over=True)
        if scene.output.closed and position.attempt < scene.job.attempt:
            step = self._begin(Position(position.attempt + 1))
            return step._replace(piece=_incomplete(scene.output) + step.piece)
        return None

    def _begin(self, position: Position) -> "_Step":
        self._own = 0
        told = to_json({"attempt": position.attempt})
        return _Step(encode("attempt", told, id=str(position)), position)

    def _count(self, output: OutputState, position: Position, chunk: Chunk) -> None:
        """Note how many own bytes lie before the end of a chunk, if that can be known."""
        if chunk.offset > position.offset:
            self._own = output.own_behind_gap()
        if self._own is not None:
            self._own += count_own(chunk)

    def _state(self, job: JobView) -> bytes | None:
        """Return the job's state as an event, unless that was the last one told."""
        told = to_json(
            {
                "state": job.state,
                "reason": job.reason,
                "pending_reason": job.pending_reason,
                "attempt": job.attempt,
                "worker_offline": job.worker_offline,
            }
        )
        if told == self._told:
            return None
        self._told = told
        return encode("state", told)

    def _is_last(self, scene: Scene, attempt: int) -> bool:
        """Tell whether nothing will ever follow what was read."""
        if not scene.output.closed:
            return False
        if self._only is not None:
            return attempt == self._only or scene.job.state in TERMINAL
        return scene.job.state in TERMINAL and attempt == scene.job.attempt


class _Step(NamedTuple):
    """What is sent next, where the reader stands then, and whether that was all."""

    piece: bytes
    position: Position
    over: bool = False


def _incomplete(output: OutputState) -> bytes:
    """Return what is said where an output ends of which some never came: usually nothing."""
    if not output.missing_bytes:
        return b""
    told = {"attempt": output.attempt, "missing_bytes": output.missing_bytes}
    return encode("incomplete", to_json(told))


def _events(output: OutputState, position: Position, chunk: Chunk, own: int | None) -> bytes:
    parts = [
        encode("output", view.model_dump_json(exclude_none=True), id=view.cursor)
        for view in views(chunk, output.attempt)
    ]
    if chunk.offset > position.offset:
        gap = gap_view(output, position, chunk, own)
        parts.insert(0, encode("gap", to_json(gap), id=str(gap["cursor"])))
    return b"".join(parts)
