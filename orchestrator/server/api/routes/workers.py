"""Workers, as people see them, and whether they are given jobs."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path
from fastapi import Request as HttpRequest
from starlette.responses import Response

from orchestrator.protocol import limits
from orchestrator.protocol.jobs import TrustRequest
from orchestrator.protocol.views import Page, WorkerView
from orchestrator.server.access.doorkeeper import principal_of
from orchestrator.server.api.answers import json_answer
from orchestrator.server.api.openapi import takes
from orchestrator.server.api.parsing import json_body, no_query
from orchestrator.server.operations.quarantine import quarantine, release, worker_named
from orchestrator.server.operations.workers import list_workers, view_worker
from orchestrator.server.services import Services

Named = Annotated[str, Path(min_length=1, max_length=limits.NAME_CHARS)]
Given = Annotated[tuple[TrustRequest, bytes], Depends(json_body(TrustRequest))]


def routes(services: Services) -> APIRouter:
    """Return the routes of workers."""
    router = APIRouter(prefix="/api/v1/workers", tags=["workers"])
    store = services.store

    @router.get("", response_model=Page[WorkerView], dependencies=[Depends(no_query)])
    async def list_all() -> Response:
        """List all workers, online or not, by name."""
        return json_answer(Page[WorkerView](items=await store.read(list_workers)))

    @router.get("/{worker}", response_model=WorkerView, dependencies=[Depends(no_query)])
    async def show(worker: Named) -> Response:
        """Show the worker with that name or id."""
        return json_answer(
            await store.read(lambda reader: view_worker(reader, worker_named(reader, worker)))
        )

    @router.post(
        "/{worker}/quarantine",
        response_model=WorkerView,
        openapi_extra=takes(TrustRequest),
        dependencies=[Depends(no_query)],
    )
    async def keep_out(request: HttpRequest, worker: Named, given: Given) -> Response:
        """Give a worker no more jobs until it is released; what it runs goes on."""
        reason, by = given[0].reason, principal_of(request.scope).name
        return json_answer(
            await store.write(
                lambda tx: view_worker(tx, quarantine(tx, worker, by=by, reason=reason))
            )
        )

    @router.post(
        "/{worker}/release",
        response_model=WorkerView,
        openapi_extra=takes(TrustRequest),
        dependencies=[Depends(no_query)],
    )
    async def let_in(request: HttpRequest, worker: Named, given: Given) -> Response:
        """Trust a worker again, and forget what spoke against it; twice is once."""
        reason, by = given[0].reason, principal_of(request.scope).name
        return json_answer(
            await store.write(lambda tx: view_worker(tx, release(tx, worker, by=by, reason=reason)))
        )

    return router
