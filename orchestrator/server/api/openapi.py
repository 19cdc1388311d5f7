"""The OpenAPI document: FastAPI's own, completed with the bodies that we parse ourselves.

It is made from the same models that parse and answer, so it cannot promise what they do not keep.
"""

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from orchestrator.protocol.batches import AppendRequest, BatchItem, BatchOrder, BatchRequest
from orchestrator.protocol.bulk import BulkRequest
from orchestrator.protocol.jobs import (
    PARAMS,
    AmendRequest,
    CancelRequest,
    HoldJobsRequest,
    JobSpec,
    RetryRequest,
    TrustRequest,
)
from orchestrator.protocol.queues import PauseRequest, QueueSettings
from orchestrator.protocol.schedules import SchedulePatch, ScheduleSpec
from orchestrator.protocol.views import Problem
from orchestrator.server.access.table import PUBLIC, RULES
from orchestrator.server.api.calls import CALLS, Call
from orchestrator.server.api.problems import MEDIA_TYPE

_REF: Final = "#/components/schemas/{model}"
_BINARY: Final = {"type": "string", "format": "binary"}
_BYTES: Final = "application/octet-stream"
BYTES: Final[dict[int | str, dict[str, Any]]] = {200: {"content": {_BYTES: {"schema": _BINARY}}}}
STREAM: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "Server-sent events; `Last-Event-ID` goes on strictly behind an event",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}
_SCHEMES: Final = {
    "key": {"type": "http", "scheme": "bearer", "description": "an API key: pak_…, sak_…, wak_…"},
    "worker": {
        "type": "http",
        "scheme": "Worker",
        "description": "a worker's own machine_…:worker_…:secret_…",
    },
}


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _REF.format(model=model.__name__)}


def takes(model: type[BaseModel], *, required: bool = True) -> dict[str, Any]:
    """Return what a route adds to its description to say that its body is that model."""
    content = {"application/json": {"schema": _reference(model)}}
    return {"requestBody": {"required": required, "content": content}}


def takes_bytes() -> dict[str, Any]:
    """Return the same for a body of raw bytes."""
    return {"requestBody": {"required": True, "content": {_BYTES: {"schema": _BINARY}}}}


def describe(app: FastAPI) -> dict[str, Any]:
    """Return the whole document."""
    document: dict[str, Any] = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    components = document.setdefault("components", {})
    components["securitySchemes"] = _SCHEMES
    components["schemas"] = {**components.get("schemas", {}), **_schemas()}
    for call in CALLS:
        document["paths"].setdefault(call.path, {})[call.method.lower()] = _operation(call)
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _complete(path, method, operation)
    return document


def _schemas() -> dict[str, Any]:
    models: list[type[BaseModel]] = [JobSpec, AmendRequest, CancelRequest, HoldJobsRequest]
    models += [RetryRequest, TrustRequest, BulkRequest, Problem]
    models += [ScheduleSpec, SchedulePatch, QueueSettings, PauseRequest, *PARAMS.values()]
    models += [BatchRequest, AppendRequest, BatchItem, BatchOrder]
    for call in CALLS:
        models += [model for model in (call.takes, call.gives) if model is not None]
    unique = list(dict.fromkeys(models))
    _, schema = models_json_schema([(model, "validation") for model in unique], ref_template=_REF)
    found: dict[str, Any] = schema["$defs"]
    known = [_reference(model) for model in PARAMS.values()]
    found["JobSpec"]["properties"]["params"] = {"anyOf": known, "title": "Params"}
    _describe_items(found)
    return found


def _describe_items(schemas: dict[str, Any]) -> None:
    """Say what the items of a batch are; they are read only with what they take of its defaults.

    So none of their fields is required where they stand, and `defaults` may have the same ones.
    """
    item = _reference(BatchItem)
    schemas["BatchItem"].pop("required")
    schemas["BatchRequest"]["properties"]["defaults"] = {**item, "default": {}}
    for model in (BatchRequest, AppendRequest):
        schemas[model.__name__]["properties"]["items"]["items"] = item


def _operation(call: Call) -> dict[str, Any]:
    """Return the description of a call that FastAPI does not know."""
    operation: dict[str, Any] = {"tags": [call.tag], "summary": call.summary}
    if call.takes is not None:
        operation |= takes(call.takes)
    elif call.method == "POST":
        operation |= takes_bytes()
    reply: dict[str, Any] = {"description": call.summary, **BYTES[200]}
    if call.gives is not None:
        reply["content"] = {"application/json": {"schema": _reference(call.gives)}}
    operation["responses"] = {str(call.status): reply}
    operation["parameters"] = [
        {"name": name, "in": place, "required": True, "schema": {"type": "string"}}
        for name, place in call.parameters
    ]
    return operation


def _complete(path: str, method: str, operation: dict[str, Any]) -> None:
    """Say which credential a route asks for, and that every refusal is a problem."""
    problem = {"description": "Refused", "content": {MEDIA_TYPE: {"schema": _reference(Problem)}}}
    responses = operation["responses"]
    responses.pop("422", None)  # FastAPI's own form of it, which we do not answer with
    responses["default"] = problem
    rule = next((r for r in RULES if r.path == path and r.method == method.upper()), None)
    if path in PUBLIC or rule is None:
        return
    scheme = "worker" if rule.scope == "worker" else "key"
    operation["security"] = [{scheme: list(rule.scopes)}]
