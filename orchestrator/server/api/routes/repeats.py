"""What else people do with jobs: hold them, let them go, repeat them, look at the failed ones."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi import Request as HttpRequest
from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import from_json
from starlette.responses import Response

from orchestrator.protocol import limits
from orchestrator.protocol.jobs import HoldJobsRequest, RetryRequest
from orchestrator.protocol.views import DeadLetters, HoldReply, JobView, Page
from orchestrator.server.access.doorkeeper import principal_of
from orchestrator.server.access.rights import asked_by, require
from orchestrator.server.api.answers import json_answer
from orchestrator.server.api.calls import JOBS
from orchestrator.server.api.once import done_once
from orchestrator.server.api.openapi import takes
from orchestrator.server.api.parsing import json_body, no_query
from orchestrator.server.api.routes.jobs import JobId, check_kind, made
from orchestrator.server.operations.dead_letters import list_dead
from orchestrator.server.operations.hold import hold, release
from orchestrator.server.operations.repeat import asked_of, repeat
from orchestrator.server.services import Services
from orchestrator.server.store.interface import Transaction

Given = Annotated[tuple[HoldJobsRequest, bytes], Depends(json_body(HoldJobsRequest))]
Repeated = Annotated[tuple[RetryRequest, bytes], Depends(json_body(RetryRequest, optional=True))]


class DeadQuery(BaseModel):
    """How many groups."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(default=limits.PAGE_DEFAULT, ge=1, le=limits.PAGE_MAX)


def routes(services: Services) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix="/api/v1", tags=["jobs"])
    store = services.store
    below = JOBS.removeprefix("/api/v1")

    @router.get("/dead-letters", response_model=Page[DeadLetters])
    async def dead_letters(query: Annotated[DeadQuery, Query()]) -> Response:
        """Count failed jobs by what they have in common, the newest first."""
        return json_answer(
            Page[DeadLetters](items=await store.read(partial(list_dead, limit=query.limit)))
        )

    @router.post(
        f"{below}/hold",
        response_model=HoldReply,
        openapi_extra=takes(HoldJobsRequest),
        dependencies=[Depends(no_query)],
    )
    async def hold_jobs(request: HttpRequest, given: Given) -> Response:
        """Keep jobs back that have not begun; others are refused one by one. Twice is once."""
        order, _ = given
        by = principal_of(request.scope).name
        deed = partial(hold, ids=order.ids, by=by, comment=order.comment)
        return json_answer(await store.write(deed))

    @router.post(
        f"{below}/release",
        response_model=HoldReply,
        openapi_extra=takes(HoldJobsRequest),
        dependencies=[Depends(no_query)],
    )
    async def release_jobs(request: HttpRequest, given: Given) -> Response:
        """Let held jobs go on."""
        order, _ = given
        by = principal_of(request.scope).name
        deed = partial(release, ids=order.ids, by=by, comment=order.comment)
        return json_answer(await store.write(deed))

    @router.post(
        f"{below}/{{job_id}}/retry",
        response_model=JobView,
        status_code=201,
        openapi_extra=takes(RetryRequest, required=False),
        dependencies=[Depends(no_query)],
    )
    async def retry_job(request: HttpRequest, job_id: JobId, given: Repeated) -> Response:
        """Submit what a finished job asked for, or another spec in its place, as a new job."""
        asked, body = given
        principal, new_id = principal_of(request.scope), services.new_id("job")
        if asked.spec is not None:
            check_kind(asked.spec, size=len(body))
            require(principal, asked_by(asked.spec))

        def deed(tx: Transaction) -> JobView:
            if asked.spec is None:
                require(principal, asked_by(asked_of(tx, job_id)))
            return repeat(tx, job_id, new_id=new_id, owner=principal.name, spec=asked.spec)

        done = await done_once(store, request.scope, body, deed)
        return json_answer(done.reply, made(from_json(done.reply)), done.headers)

    return router
