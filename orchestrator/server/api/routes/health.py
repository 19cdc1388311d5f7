"""Is it there, can it work: three answers that anybody may have, because they say nothing else."""

import json
from typing import Final

import anyio
from fastapi import APIRouter
from starlette.responses import Response

from orchestrator.kernel.errors import StorageFull
from orchestrator.server.services import Services

_ALIVE: Final = b'{"status":"ok"}'
_JSON: Final = "application/json"


def routes(services: Services) -> APIRouter:
    """Return the public routes."""
    router = APIRouter(tags=["health"])

    @router.get("/health", summary="The server answers")
    @router.head("/health", include_in_schema=False)
    @router.get("/api/health", include_in_schema=False)
    @router.head("/api/health", include_in_schema=False)
    async def health() -> Response:
        """Say that the process is alive: always the same, so that it reveals nothing."""
        return Response(_ALIVE, media_type=_JSON)

    @router.get("/ready", summary="The server can do its work")
    @router.head("/ready", include_in_schema=False)
    async def ready() -> Response:
        """Say whether the database takes writes and the server is not stopping: 200 or 503.

        While only the room that is kept back is left on the disk it is ready, for the ends of jobs,
        and says why it takes no new ones.
        """
        if not services.pulse.is_ready(now=anyio.current_time()):
            body = _said(is_ready=False, problem=services.pulse.problem)
            return Response(body, 503, {"retry-after": "1"}, _JSON)
        problem = None if services.reserve.is_held else StorageFull.code
        return Response(_said(is_ready=True, problem=problem), media_type=_JSON)

    return router


def _said(*, is_ready: bool, problem: str | None) -> bytes:
    told = {"ready": is_ready} | ({"problem": problem} if problem else {})
    return json.dumps(told).encode()
