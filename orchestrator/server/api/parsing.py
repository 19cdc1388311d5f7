"""Bodies and query strings into models: the one way in for everything that somebody sends.

Bodies are parsed once, from the raw bytes and strictly: `"3"` is no number, and a field that we do
not know is refused with the name that was probably meant.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from fastapi import Request as HttpRequest
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.types import Receive, Scope

from orchestrator.kernel.errors import RequestInvalid
from orchestrator.protocol import limits
from orchestrator.protocol.base import Request
from orchestrator.server.api import strictness
from orchestrator.server.api.faults import invalid, path
from orchestrator.server.edge.body import read_body
from orchestrator.server.edge.head import SEEN, Seen
from orchestrator.server.edge.refusals import Declined

M = TypeVar("M", bound=BaseModel)


def parse(model: type[M], body: bytes) -> M:
    """Return the model that a body holds, or raise `RequestInvalid` naming every fault."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise invalid(error, model) from None


async def read_model(
    scope: Scope, receive: Receive, model: type[M], *, limit: int = limits.JSON_BODY_BYTES
) -> M:
    """Read and parse the body of a worker's call."""
    require_json(scope)
    return parse(model, await read_body(receive, limit=limit))


def require_json(scope: Scope) -> None:
    """Refuse a body that does not say that it is JSON: a form on any web page could send it."""
    seen: Seen = scope[SEEN]
    kind, _, parameter = seen.content_type.partition(b";")
    if kind.strip() == b"application/json" and _is_utf8(parameter):
        return
    raise Declined(
        415,
        "content_type_refused",
        "the body must be JSON and say so",
        hint="send the header Content-Type: application/json",
    )


def _is_utf8(parameter: bytes) -> bool:
    text = parameter.strip().replace(b'"', b"").replace(b" ", b"")
    return text in {b"", b"charset=utf-8"}


async def read_strictly(
    scope: Scope, receive: Receive, model: type[M], *, optional: bool = False
) -> tuple[M, bytes]:
    """Read and parse the body of a call for people; return it, and its raw bytes.

    With `optional`, no body means the model's defaults.
    """
    body = await read_body(receive, limit=limits.JSON_BODY_BYTES)
    if optional and not body:
        return model(), body
    require_json(scope)
    strictness.check(body)
    return parse(model, body), body


def json_body(
    model: type[M], *, optional: bool = False
) -> Callable[[HttpRequest], Awaitable[tuple[M, bytes]]]:
    """Return the dependency that gives a route its body as a model, and its raw bytes."""

    async def dependency(request: HttpRequest) -> tuple[M, bytes]:
        return await read_strictly(request.scope, request.receive, model, optional=optional)

    return dependency


def no_query(request: HttpRequest) -> None:
    """Refuse a query string where none is understood: what was asked for must not be ignored."""
    refuse_query(request.scope)


def refuse_query(scope: Scope) -> None:
    """Do so for a call without a framework."""
    if scope["query_string"]:
        name = scope["query_string"].decode("latin-1").partition("=")[0].partition("&")[0]
        raise RequestInvalid(
            "this path takes no query",
            hint="GET /api/openapi.json describes every parameter",
            fields=((path([name]), "is not a known parameter"),),
        )


class Query(Request):
    """What stands behind the `?` of a worker's call: text that is read as the field's type."""

    model_config = ConfigDict(strict=False)


def parse_query(model: type[M], request: HttpRequest) -> M:
    """Return the model that a query string holds; a repeated or unknown name is refused."""
    given = request.query_params
    if len(given.multi_items()) != len(given):
        raise RequestInvalid("a name stands twice in the query string", hint="give each once")
    try:
        return model.model_validate(dict(given))
    except ValidationError as error:
        raise invalid(error, model) from None
