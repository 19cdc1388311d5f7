"""What the server would forget by now, and forgetting it at once instead of within the hour."""

from functools import partial

from fastapi import APIRouter, Depends
from starlette.responses import Response

from orchestrator.core.retention import CLASSES
from orchestrator.protocol.views import Prunable, PruneReply
from orchestrator.server.api.answers import json_answer
from orchestrator.server.api.parsing import no_query
from orchestrator.server.backup.making import LOCK
from orchestrator.server.operations.retention import prunable
from orchestrator.server.services import Services
from orchestrator.server.upkeep.housekeeping import Housekeeping

PATH = "/api/v1/retention"


def routes(services: Services) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix=PATH, tags=["server"])
    kept = services.settings.retention
    keeper = Housekeeping(
        services.store,
        services.outputs,
        services.files,
        services.clock,
        lock=services.settings.data_dir / LOCK,
        kept=kept,
    )

    async def counted() -> list[Prunable]:
        now_us = round(services.clock.now() * 1_000_000)
        found = []
        for state in CLASSES:
            jobs = size = 0
            after: str | None = ""
            while after is not None:
                count = partial(prunable, state=state, now_us=now_us, kept=kept, after=after)
                part = await services.store.read(count)
                jobs, size, after = jobs + part.jobs, size + part.output_bytes, part.last
            days = kept.days(state)
            found.append(Prunable(state=state, kept_days=days, jobs=jobs, output_bytes=size))
        return found

    @router.get("", response_model=PruneReply, dependencies=[Depends(no_query)])
    async def preview() -> Response:
        """Count the jobs that are old enough to be forgotten, and their output."""
        return json_answer(PruneReply(items=await counted()))

    @router.post("/prune", response_model=PruneReply, dependencies=[Depends(no_query)])
    async def prune() -> Response:
        """Forget them now, a few at a time; the counts are those of a moment before."""
        items = await counted()
        return json_answer(PruneReply(items=items, forgotten=await keeper.prune()))

    return router
