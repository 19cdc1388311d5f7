"""How routes answer: JSON that is written once, straight from the model."""

from collections.abc import Mapping

from pydantic import BaseModel
from starlette.responses import Response

MEDIA_TYPE = "application/json"


def json_answer(
    body: BaseModel | bytes, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a model, or JSON that is already written, as an answer."""
    content = body if isinstance(body, bytes) else body.model_dump_json()
    return Response(content, status, headers, MEDIA_TYPE)
