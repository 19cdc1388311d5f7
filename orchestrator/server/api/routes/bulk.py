"""Orders for all jobs that a filter means: counted, given, looked at."""

from functools import partial
from typing import Annotated, Final

from fastapi import APIRouter, Depends
from fastapi import Request as HttpRequest
from starlette.responses import Response

from orchestrator.core.bulk import previewed
from orchestrator.kernel.errors import NotFound, RequestInvalid
from orchestrator.protocol.bulk import BulkPreview, BulkRequest, BulkView
from orchestrator.protocol.words import BulkAction, Scope
from orchestrator.server.access.doorkeeper import principal_of
from orchestrator.server.access.rights import require
from orchestrator.server.access.table import allows
from orchestrator.server.api.answers import json_answer
from orchestrator.server.api.openapi import takes
from orchestrator.server.api.parsing import json_body, no_query
from orchestrator.server.operations.bulk import NewBulk, begin_bulk, get_bulk
from orchestrator.server.services import Services
from orchestrator.server.upkeep.bulks import count_meant

PATH: Final = "/api/v1/bulk"
Given = Annotated[tuple[BulkRequest, bytes], Depends(json_body(BulkRequest))]


def routes(services: Services) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix=PATH, tags=["jobs"])

    @router.post(
        "",
        response_model=BulkPreview | BulkView,
        openapi_extra=takes(BulkRequest),
        dependencies=[Depends(no_query)],
    )
    async def order(request: HttpRequest, given: Given) -> Response:
        """Count jobs with `dry_run`; with the token of that count, do it to them (202)."""
        asked, _ = given
        principal = principal_of(request.scope)
        if asked.action is BulkAction.CANCEL:
            require(principal, [Scope.JOBS_CANCEL])
        if asked.token is None:
            preview = await count_meant(services, asked)
            token = preview.token(asked.canonical())
            return json_answer(BulkPreview(count=preview.count, token=token))
        known = previewed(asked.token, asked.canonical())
        if known is None:
            raise RequestInvalid(
                "the token was made for another order",
                hint="ask with dry_run again, and send its token with the same order",
                fields=(("token", "does not fit q, action and what else was said"),),
            )
        new = NewBulk(
            id=services.new_id("bulk"),
            owner=principal.name,
            may_cancel=allows(principal.scopes, Scope.JOBS_CANCEL),
        )
        deed = partial(begin_bulk, order=asked, preview=known, new=new)
        view = await services.store.write(deed)
        services.bulk_bell.ring()
        return json_answer(view, 202)

    @router.get("/{bulk_id}", response_model=BulkView, dependencies=[Depends(no_query)])
    async def look(bulk_id: str) -> Response:
        """Say how far an order came."""
        found = await services.store.read(partial(get_bulk, bulk_id=bulk_id))
        if found is None:
            raise NotFound("there is no such order", hint="they are kept for 30 days")
        return json_answer(found)

    return router
