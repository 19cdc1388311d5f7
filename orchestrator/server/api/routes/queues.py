"""Queues: look at them, make and change them, pause them."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi import Request as HttpRequest
from starlette.responses import Response

from orchestrator.kernel.errors import RequestInvalid
from orchestrator.protocol import limits
from orchestrator.protocol.queues import PauseRequest, QueueSettings, is_queue_name
from orchestrator.protocol.views import Page, QueueView
from orchestrator.server.access.doorkeeper import principal_of
from orchestrator.server.api.answers import json_answer
from orchestrator.server.api.openapi import takes
from orchestrator.server.api.parsing import json_body, no_query
from orchestrator.server.operations import queues as deeds
from orchestrator.server.services import Services

QUEUES = "/api/v1/queues"


def named(queue: str) -> str:
    """Return what could be the name of a queue."""
    if not is_queue_name(queue):
        raise RequestInvalid(
            "the request is not valid: queue",
            hint=f"a name has up to {limits.QUEUE_CHARS} letters, digits, dots, _ and -, and "
            "begins with a letter or a digit",
            fields=(("queue", "cannot be the name of a queue"),),
        )
    return queue


Name = Annotated[str, Depends(named)]
Settings = Annotated[tuple[QueueSettings, bytes], Depends(json_body(QueueSettings))]
Pause = Annotated[tuple[PauseRequest, bytes], Depends(json_body(PauseRequest, optional=True))]


def routes(services: Services) -> APIRouter:
    """Return the routes of queues."""
    router = APIRouter(prefix=QUEUES, tags=["queues"])
    store = services.store

    @router.get("", response_model=Page[QueueView], dependencies=[Depends(no_query)])
    async def list_all() -> Response:
        """List the queues by name; there are never more than one page of them."""
        return json_answer(Page[QueueView](items=await store.read(deeds.list_queues)))

    @router.get("/{queue}", response_model=QueueView, dependencies=[Depends(no_query)])
    async def get_one(queue: Name) -> Response:
        """Show a queue."""
        return json_answer(await store.read(partial(deeds.get_queue, name=queue)))

    @router.patch(
        "/{queue}",
        response_model=QueueView,
        openapi_extra=takes(QueueSettings),
        dependencies=[Depends(no_query)],
    )
    async def change(queue: Name, given: Settings) -> Response:
        """Change what is named of a queue, or make it; its jobs are asked anew."""
        return json_answer(await store.write(partial(deeds.set_queue, name=queue, asked=given[0])))

    @router.post(
        "/{queue}/pause",
        response_model=QueueView,
        openapi_extra=takes(PauseRequest, required=False),
        dependencies=[Depends(no_query)],
    )
    async def pause(request: HttpRequest, queue: Name, given: Pause) -> Response:
        """Start nothing more of it until it is resumed; what runs goes on. Twice is once."""
        by, why = principal_of(request.scope).name, given[0].reason
        deed = partial(deeds.pause_queue, name=queue, by=by, why=why)
        return json_answer(await store.write(deed))

    @router.post("/{queue}/resume", response_model=QueueView, dependencies=[Depends(no_query)])
    async def resume(queue: Name) -> Response:
        """Let it go on."""
        return json_answer(await store.write(partial(deeds.resume_queue, name=queue)))

    @router.delete("/{queue}", status_code=204, dependencies=[Depends(no_query)])
    async def delete(queue: Name) -> Response:
        """Forget a queue in which no job is that is not over."""
        await store.write(partial(deeds.delete_queue, name=queue))
        return Response(status_code=204)

    return router
