"""Errors as RFC 9457 problems: one rendering for everything that is refused.

It decides the status of each class of the error tree, and nothing else does. It shows the message,
the code and the hint of an error, never its traceback, a path of this machine, or SQL.
"""

from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Final

from orchestrator.kernel.errors import (
    AlreadyExists,
    Forbidden,
    IllegalTransition,
    LeaseLost,
    NotFound,
    OrchestratorError,
    Overloaded,
    Refused,
    RequestInvalid,
    StorageFull,
    Unauthenticated,
    Unavailable,
    VersionUnsupported,
)
from orchestrator.protocol.views import FieldFault, Problem
from orchestrator.server.edge.refusals import Declined

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_S: Final = 1
"""What an unavailable server asks for when nobody knows better."""
ROOM_AFTER_S: Final = 10
"""A disk does not get empty in a second; the server looks every few."""
STATUS: Final[Mapping[type[OrchestratorError], int]] = MappingProxyType(
    {
        RequestInvalid: 422,
        NotFound: 404,
        AlreadyExists: 409,
        Forbidden: 403,
        Unauthenticated: 401,
        IllegalTransition: 409,
        LeaseLost: 409,
        VersionUnsupported: 409,
        Refused: 409,
        Unavailable: 503,
    }
)
"""The nearest ancestor counts; what has none here is our own fault: 500."""
MALFORMED: Final = frozenset({"json_invalid", "head_invalid"})
"""Codes of what cannot even be read, which is 400 and not 422."""
TITLES: Final[Mapping[int, str]] = MappingProxyType(
    {413: "Content Too Large", 414: "URI Too Long", 422: "Unprocessable Content"}
)
"""What RFC 9110 calls them. Python's own words changed with 3.13; ours are the same on each."""


def status_of(error: OrchestratorError) -> int:
    """Return the HTTP status by which an error is told."""
    if isinstance(error, Declined):
        return error.status
    if error.problem_code in MALFORMED:
        return 400
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)


def headers_of(error: OrchestratorError) -> dict[str, str]:
    """Return what a client must be told beside the body: when to come back, how to identify."""
    if isinstance(error, Declined):
        return dict(error.headers)
    if isinstance(error, Overloaded):
        return {"retry-after": str(max(1, round(error.retry_after_s)))}
    if isinstance(error, StorageFull):
        return {"retry-after": str(ROOM_AFTER_S)}
    if isinstance(error, Unavailable):
        return {"retry-after": str(RETRY_AFTER_S)}
    return {}


def problem_of(error: OrchestratorError, request_id: str | None = None) -> Problem:
    """Return an error as people and programs are shown it; a fault of ours says only that."""
    status = status_of(error)
    if status == 500:
        return internal_problem(request_id)
    fields = error.fields if isinstance(error, RequestInvalid) else ()
    return Problem(
        title=TITLES.get(status) or HTTPStatus(status).phrase,
        status=status,
        code=error.problem_code,
        detail=error.message,
        hint=error.hint,
        request_id=request_id,
        fields=[FieldFault(field=field, fault=fault) for field, fault in fields],
    )


def internal_problem(request_id: str | None) -> Problem:
    """Return what is said of a fault of ours: nothing but where to look for it."""
    return Problem(
        title=HTTPStatus.INTERNAL_SERVER_ERROR.phrase,
        status=500,
        code="internal",
        detail="the server met a fault of its own and did not finish the request",
        hint="the server's log tells more under this request_id",
        request_id=request_id,
    )
