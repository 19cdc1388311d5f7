"""A job's output: page by page, as the bytes that it wrote, or as a stream while it writes."""

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
    OutputReader,
    Position,
    Scene,
    look,
    require_within,
    views,
)
from orchestrator.server.live.reader import StreamReader
from orchestrator.server.live.sse import EventStream
from orchestrator.server.operations.cancel import not_found
from orchestrator.server.operations.jobs import view_job
from orchestrator.server.output_log import Chunk, OutputState
from orchestrator.server.services import Services

_OWN: Final = {
    "stdout": frozenset({FrameType.OUT}),
    "stderr": frozenset({FrameType.ERR}),
    "both": frozenset({FrameType.OUT, FrameType.ERR}),
}


class FollowQuery(BaseModel):
    """Which attempt."""

    model_config = ConfigDict(extra="forbid")

    attempt: int | None = Field(default=None, ge=1, le=2**31)


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


def routes(services: Services) -> APIRouter:
    """Return the routes of output."""
    router = APIRouter(prefix="/api/v1/jobs/{job_id}/output", tags=["output"])
    outputs = OutputReader(services.outputs)

    async def scene_of(job_id: str, attempt: int | None) -> Scene:
        """Return the job and its output, or tell which of the two there is not."""
        found = await services.store.read(lambda reader: look(reader, job_id, attempt))
        if found is not None:
            return found
        if await services.store.read(lambda reader: view_job(reader, job_id)) is None:
            raise not_found(job_id)
        raise NotFound(
            f"the job has no attempt {attempt}",
            hint="leave out attempt for the latest one",
        )

    @router.get("", response_model=OutputPage)
    async def page(job_id: JobId, query: Annotated[PageQuery, Query()]) -> Response:
        """Return pieces of output behind `after`; `eof` says that no more will come."""
        position = query.position()
        _, output = await scene_of(job_id, position.attempt)
        if position.attempt != output.attempt:
            position = Position(output.attempt)
        require_within(position, output)
        chunk = await outputs.read(output, offset=position.offset)
        if chunk is None:  # it fell out of the kept part just now; the next look shows the gap
            outdated = output
            _, output = await scene_of(job_id, position.attempt)
            chunk = await outputs.read(output, offset=position.offset, outdated=outdated)
        return json_answer(_page(output, position, chunk, limit=query.limit))

    @router.get("/raw", response_class=Response, responses=BYTES)
    async def raw(job_id: JobId, query: Annotated[RawQuery, Query()]) -> Response:
        """Download the bytes that the command wrote so far, exactly as it wrote them."""
        _, output = await scene_of(job_id, query.attempt)
        name = f"{job_id}-{output.attempt}-{query.stream}.log"
        headers = {
            "content-disposition": f'attachment; filename="{name}"',
            "x-output-dropped-bytes": str(output.dropped_bytes),
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

        Without `attempt` all attempts are given, one after the other.
        """
        only = query.attempt
        position = Position.parse(last_event_id) if last_event_id else Position(only or 0)
        _, output = await scene_of(job_id, position.attempt)
        if position.offset:
            require_within(position, output)
            await outputs.read(output, offset=position.offset, limit=0)
        reader = StreamReader(services.bus, services.credentials, request.scope, request.receive)
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
    return OutputPage(items=items, next_cursor=cursor, eof=eof)


def _items(output: OutputState, position: Position, chunk: Chunk) -> list[OutputFrame]:
    """Return the pieces of a chunk; where output was left out, a piece says so."""
    items = list(views(chunk, output.attempt))
    if chunk.offset > position.offset and items:
        words = f"[{output.dropped_bytes} bytes were left out here]\n"
        cursor = str(Position(output.attempt, chunk.offset))
        gap = OutputFrame(cursor=cursor, at=items[0].at, stream="gap", text=words)
        items.insert(0, gap)
    return items
