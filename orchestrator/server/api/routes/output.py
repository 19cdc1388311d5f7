"""A job's output: page by page, as the bytes that it wrote, or as a stream while it writes."""

from functools import partial
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Header, Query
from fastapi import Request as HttpRequest
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response, StreamingResponse

from orchestrator.kernel.errors import NotFound, RequestInvalid
from orchestrator.protocol import limits
from orchestrator.protocol.frames import FrameType
from orchestrator.protocol.views import OutputFrame, OutputPage
from orchestrator.server.access.doorkeeper import principal_of
from orchestrator.server.api.answers import json_answer
from orchestrator.server.api.openapi import BYTES, STREAM
from orchestrator.server.api.routes.jobs import JobId
from orchestrator.server.live.following import OutputStream
from orchestrator.server.live.output import (
    CHUNK_BYTES,
    OutputReader,
    Position,
    Scene,
    look,
    require_within,
    skipped_bytes,
    views,
)
from orchestrator.server.live.reader import StreamReader
from orchestrator.server.live.sse import EventStream
from orchestrator.server.operations.cancel import not_found
from orchestrator.server.operations.jobs import view_job
from orchestrator.server.output_log import FRAMES_AT_ONCE, Chunk, OutputLost, OutputState
from orchestrator.server.services import Services
from orchestrator.server.store.interface import Store

_OWN: Final = {
    "stdout": frozenset({FrameType.OUT}),
    "stderr": frozenset({FrameType.ERR}),
    "both": frozenset({FrameType.OUT, FrameType.ERR}),
}


class FollowQuery(BaseModel):
    """Which attempt."""

    model_config = ConfigDict(extra="forbid")

    attempt: int | None = Field(default=None, ge=1, le=2**53)


class RawQuery(FollowQuery):
    """Which streams of which attempt, by default both of the latest."""

    stream: Literal["stdout", "stderr", "both"] = "both"


class PageQuery(FollowQuery):
    """Which page of the output of which attempt, by default of the latest."""

    after: str | None = Field(default=None, max_length=40)
    limit: int = Field(default=limits.PAGE_DEFAULT, ge=1, le=limits.PAGE_MAX)

    def position(self) -> Position:
        """Return where the page begins; attempt 0 stands for the latest one."""
        position = Position.parse(self.after) if self.after else Position(self.attempt or 0)
        if self.attempt is not None and position.attempt != self.attempt:
            raise RequestInvalid(
                "the cursor belongs to another attempt",
                hint="leave out attempt: the cursor names it",
                fields=(("after", f"must begin with {self.attempt}."),),
                code="cursor_invalid",
            )
        return position


class _Shelf:
    """Output as the routes ask for it, with a second look where the first may be out of date."""

    def __init__(self, store: Store, outputs: OutputReader) -> None:
        self._store = store
        self._outputs = outputs

    async def scene_of(self, job_id: str, attempt: int | None) -> Scene:
        """Return the job and its output, or tell which of the two there is not."""
        found = await self._store.read(lambda reader: look(reader, job_id, attempt))
        if found is not None:
            return found
        if await self._store.read(lambda reader: view_job(reader, job_id)) is None:
            raise not_found(job_id)
        raise NotFound(
            f"the job has no attempt {attempt}",
            hint="leave out attempt for the latest one",
        )

    async def read(
        self,
        output: OutputState,
        position: Position,
        *,
        limit: int = CHUNK_BYTES,
        frames: int = FRAMES_AT_ONCE,
    ) -> tuple[OutputState, Chunk | None]:
        """Return the output as it is now, and what is behind a position."""
        require_within(position, output)
        part = partial(self._outputs.read, offset=position.offset, limit=limit, frames=frames)
        chunk = await part(output)
        if chunk is not None:
            return output, chunk
        # It fell out of the kept part just now; the next look shows the gap.
        _, newer = await self.scene_of(output.job_id, output.attempt)
        return newer, await part(newer, outdated=output)

    async def whole(self, job_id: str, attempt: int | None) -> OutputState:
        """Return an output of which all is there that is kept, or refuse it before it is sent."""
        _, output = await self.scene_of(job_id, attempt)
        if await self._outputs.gone(output) is not None:
            _, output = await self.scene_of(job_id, output.attempt)
            if (offset := await self._outputs.gone(output)) is not None:
                raise OutputLost(job_id, output.attempt, offset)
        return output


def routes(services: Services) -> APIRouter:
    """Return the routes of output."""
    router = APIRouter(prefix="/api/v1/jobs/{job_id}/output", tags=["output"])
    outputs = OutputReader(services.outputs)
    shelf = _Shelf(services.store, outputs)

    @router.get("", response_model=OutputPage)
    async def page(job_id: JobId, query: Annotated[PageQuery, Query()]) -> Response:
        """Return pieces of output behind `after`; `eof` says that no more will come."""
        position = query.position()
        _, output = await shelf.scene_of(job_id, position.attempt)
        if position.attempt != output.attempt:
            position = Position(output.attempt)
        output, chunk = await shelf.read(output, position, frames=query.limit)
        return json_answer(_page(output, position, chunk, limit=query.limit))

    @router.get("/raw", response_class=Response, responses=BYTES)
    async def raw(job_id: JobId, query: Annotated[RawQuery, Query()]) -> Response:
        """Download the bytes that the command wrote so far, exactly as it wrote them."""
        output = await shelf.whole(job_id, query.attempt)
        name = f"{job_id}-{output.attempt}-{query.stream}.log"
        headers = {
            "content-disposition": f'attachment; filename="{name}"',
            "x-output-dropped-bytes": str(output.dropped_bytes),
            "x-output-missing-bytes": str(output.missing_bytes),
        }
        pieces = outputs.bytes_of(output, _OWN[query.stream])
        return StreamingResponse(pieces, 200, headers, "application/octet-stream")

    @router.get("/stream", response_class=Response, responses=STREAM)
    async def follow(
        request: HttpRequest,
        job_id: JobId,
        query: Annotated[FollowQuery, Query()],
        last_event_id: Annotated[str | None, Header()] = None,
    ) -> Response:
        """Follow the output: `output`, `gap`, `attempt`, `state`, at last `eof` with the job.

        Where an attempt's output ends and some of it never came, `incomplete` says how much. It
        ends with `problem` instead when the server's disk has lost a part of the output.

        Without `attempt` all attempts are given, one after the other.
        """
        only = query.attempt
        position = Position.parse(last_event_id) if last_event_id else Position(only or 0)
        _, output = await shelf.scene_of(job_id, position.attempt)
        if position.attempt:
            # Before the stream begins, because who comes back to what is lost must be told so.
            await shelf.read(output, position, limit=0)
        reader = StreamReader(services.bus, services.credentials, request.scope)
        following = OutputStream(services.store, outputs, reader, job_id, only=only)
        return EventStream(
            following.pieces(position), services.streams, principal_of(request.scope).id
        )

    return router


def _page(
    output: OutputState, position: Position, chunk: Chunk | None, *, limit: int
) -> OutputPage:
    """Return a page of a chunk, or an empty one when even the second look came too late."""
    if chunk is None:
        return OutputPage(items=[], next_cursor=str(position))
    items = _items(output, position, chunk)[:limit]
    cursor = items[-1].cursor if items else str(position)
    eof = output.closed and cursor == str(Position(output.attempt, output.length))
    return OutputPage(items=items, next_cursor=cursor, eof=eof, missing_bytes=output.missing_bytes)


def _items(output: OutputState, position: Position, chunk: Chunk) -> list[OutputFrame]:
    """Return the pieces of a chunk; where output was left out, a piece says so."""
    items = list(views(chunk, output.attempt))
    if chunk.offset > position.offset and items:
        size = skipped_bytes(output, position)
        words = f"[{'output' if size is None else f'{size} bytes'} left out here]\n"
        cursor = str(Position(output.attempt, chunk.offset))
        gap = OutputFrame(cursor=cursor, at=items[0].at, stream="gap", text=words)
        items.insert(0, gap)
    return items
