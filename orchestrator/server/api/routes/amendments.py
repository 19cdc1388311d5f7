"""Jobs that somebody changes before they begin, or deletes after their end."""

from functools import partial
from typing import Annotated

import anyio
from anyio import to_thread
from fastapi import APIRouter, Depends
from fastapi import Request as HttpRequest
from starlette.responses import Response

from orchestrator.kernel.files import Lock
from orchestrator.protocol.jobs import AmendRequest
from orchestrator.protocol.views import JobDetail
from orchestrator.server.access.doorkeeper import principal_of
from orchestrator.server.api.calls import JOBS
from orchestrator.server.api.openapi import takes
from orchestrator.server.api.parsing import json_body, no_query
from orchestrator.server.api.routes.jobs import JobId
from orchestrator.server.api.versions import tagged, version_wanted
from orchestrator.server.backup.making import LOCK
from orchestrator.server.operations.amend import amend
from orchestrator.server.operations.delete import delete, require_over
from orchestrator.server.services import Services
from orchestrator.server.upkeep.turn import patience, turn_at

Given = Annotated[tuple[AmendRequest, bytes], Depends(json_body(AmendRequest))]


def routes(services: Services) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix=JOBS, tags=["jobs"])
    store = services.store
    turn = anyio.Lock()

    @router.patch(
        "/{job_id}",
        response_model=JobDetail,
        openapi_extra=takes(AmendRequest),
        dependencies=[Depends(no_query)],
    )
    async def amend_job(request: HttpRequest, job_id: JobId, given: Given) -> Response:
        """Change a job that has not begun; with `If-Match`, only if nothing happened to it."""
        asked, _ = given
        deed = partial(
            amend,
            job_id=job_id,
            asked=asked,
            by=principal_of(request.scope).name,
            version=version_wanted(request.headers.get("if-match")),
        )
        return tagged(await store.write(deed), None, {})

    @router.delete("/{job_id}", status_code=204, dependencies=[Depends(no_query)])
    async def delete_job(job_id: JobId) -> Response:
        """Delete a finished job with everything of its."""
        await store.read(partial(require_over, job_id=job_id))
        until = patience()
        async with turn:
            with await turn_at(Lock(services.settings.data_dir / LOCK), until=until):
                await to_thread.run_sync(services.outputs.remove, job_id)
                await store.write(partial(delete, job_id=job_id))
        return Response(None, 204)

    return router
