"""Is it there, can it work: three answers that anybody may have, because they say nothing else."""

from typing import Final

import anyio
from fastapi import APIRouter
from starlette.responses import Response

from orchestrator.server.services import Services

_ALIVE: Final = b'{"status":"ok"}'
_READY: Final = b'{"ready":true}'
_NOT_READY: Final = b'{"ready":false}'
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
        """Say whether the database takes writes and the server is not stopping: 200 or 503."""
        if services.pulse.is_ready(now=anyio.current_time()):
            return Response(_READY, media_type=_JSON)
        return Response(_NOT_READY, 503, {"retry-after": "1"}, _JSON)

    return router
