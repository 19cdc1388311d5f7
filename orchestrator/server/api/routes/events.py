"""A job's timeline: page by page, or as a stream."""

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query
from fastapi import Request as HttpRequest
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from orchestrator.kernel.errors import RequestInvalid
from orchestrator.protocol import limits
from orchestrator.protocol.views import EventView, Page
from orchestrator.server.access.doorkeeper import principal_of
from orchestrator.server.api.answers import json_answer
from orchestrator.server.api.openapi import STREAM
from orchestrator.server.api.parsing import no_query
from orchestrator.server.api.routes.jobs import JobId
from orchestrator.server.live.reader import StreamReader
from orchestrator.server.live.sse import EventStream
from orchestrator.server.live.timeline import look, stream_timeline
from orchestrator.server.operations.cancel import not_found
from orchestrator.server.operations.jobs import view_job
from orchestrator.server.services import Services


class EventQuery(BaseModel):
    """Which lines of a timeline."""

    model_config = ConfigDict(extra="forbid")

    after: int = Field(default=0, ge=0, lt=2**62)
    limit: int = Field(default=limits.PAGE_DEFAULT, ge=1, le=limits.PAGE_MAX)


def routes(services: Services) -> APIRouter:
    """Return the routes of timelines."""
    router = APIRouter(prefix="/api/v1/jobs/{job_id}/events", tags=["jobs"])
    store = services.store

    @router.get("", response_model=Page[EventView])
    async def list_all(job_id: JobId, query: Annotated[EventQuery, Query()]) -> Response:
        """List the events behind `after`; `next_cursor` is the next page's `after`."""
        events, job = await store.read(
            lambda reader: look(reader, job_id, after=query.after, limit=query.limit)
        )
        if job is None:
            raise not_found(job_id)
        full = len(events) == query.limit
        cursor = str(events[-1].seq) if full else None
        return json_answer(Page[EventView](items=events, next_cursor=cursor))

    @router.get(
        "/stream", response_class=Response, responses=STREAM, dependencies=[Depends(no_query)]
    )
    async def stream(
        request: HttpRequest,
        job_id: JobId,
        last_event_id: Annotated[str | None, Header()] = None,
    ) -> Response:
        """Follow the timeline: `event` for each line, at last `eof` with the job."""
        after = _after(last_event_id)
        if await store.read(lambda reader: view_job(reader, job_id)) is None:
            raise not_found(job_id)
        reader = StreamReader(services.bus, services.credentials, request.scope)
        pieces = stream_timeline(store, reader, job_id, after=after)
        return EventStream(pieces, services.streams, principal_of(request.scope).id)

    return router


def _after(last_event_id: str | None) -> int:
    """Return behind which event a stream goes on."""
    if not last_event_id:
        return 0
    if not (last_event_id.isascii() and last_event_id.isdigit() and len(last_event_id) <= 18):
        raise RequestInvalid(
            "the Last-Event-ID is not the number of an event",
            hint="send the id of the last event that you saw, or leave the header out",
            code="cursor_invalid",
        )
    return int(last_event_id)
