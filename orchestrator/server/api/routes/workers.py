"""Workers, as people see them."""

from fastapi import APIRouter, Depends
from starlette.responses import Response

from orchestrator.protocol.views import Page, WorkerView
from orchestrator.server.api.answers import json_answer
from orchestrator.server.api.parsing import no_query
from orchestrator.server.operations.workers import list_workers
from orchestrator.server.services import Services


def routes(services: Services) -> APIRouter:
    """Return the routes of workers."""
    router = APIRouter(prefix="/api/v1/workers", tags=["workers"])

    @router.get("", response_model=Page[WorkerView], dependencies=[Depends(no_query)])
    async def list_all() -> Response:
        """List all workers, online or not, by name."""
        return json_answer(Page[WorkerView](items=await services.store.read(list_workers)))

    return router
