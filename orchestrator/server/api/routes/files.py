"""Files: a raw body in, stored under the SHA-256 of its content."""

from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from fastapi import Request as HttpRequest
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from orchestrator.kernel import ziparchive
from orchestrator.protocol.views import FileView
from orchestrator.server.api.answers import json_answer
from orchestrator.server.api.openapi import takes_bytes
from orchestrator.server.edge.body import stream_body
from orchestrator.server.edge.head import SEEN, Seen
from orchestrator.server.edge.refusals import upload_too_large
from orchestrator.server.files import Received
from orchestrator.server.operations.files import record_file
from orchestrator.server.services import Services


class UploadQuery(BaseModel):
    """What is looked at before a file is kept."""

    model_config = ConfigDict(extra="forbid")

    check: Literal["zip"] | None = None


def routes(services: Services) -> APIRouter:
    """Return the routes of files."""
    router = APIRouter(prefix="/api/v1/files", tags=["files"])
    store, limit = services.store, services.settings.max_upload_bytes

    async def record(received: Received) -> FileView:
        return await store.write(partial(record_file, sha256=received.sha256, size=received.size))

    @router.post("", status_code=201, response_model=FileView, openapi_extra=takes_bytes())
    async def upload(request: HttpRequest, query: Annotated[UploadQuery, Query()]) -> Response:
        """Store the body as it is. With `check=zip` it must be an archive that is safe to unpack.

        Sending the same bytes again gives the same file, so it needs no idempotency key.
        """
        seen: Seen = request.scope[SEEN]
        if seen.content_length is not None and seen.content_length > limit:
            raise upload_too_large(limit)
        file = await services.files.receive(
            stream_body(request.receive, limit=limit, refusal=upload_too_large),
            record,
            check=ziparchive.check if query.check == "zip" else None,
        )
        return json_answer(file, 201)

    return router
