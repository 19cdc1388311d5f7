"""What can be asked on the control socket, as an OpenAPI document (version 3.1).

It is made of the table of routes and of the models that read and answer, so it cannot promise what
they do not keep. It is imported by whoever asks for it: a supervisor lives for years without that.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from orchestrator import __version__
from orchestrator.protocol.machine import Trouble
from orchestrator.supervisor.control.http import JSON, PROBLEM

_REF: Final = "#/components/schemas/{model}"
_DESCRIPTION: Final = """The orchestrator of one machine. It answers on a unix socket that only its
own user and root can open: whoever may connect may do everything."""


class Described(Protocol):
    """A route, as far as it is described."""

    @property
    def method(self) -> str:
        """Return how it is asked."""
        ...

    @property
    def path(self) -> str:
        """Return where, with `{name}` for the name of a worker."""
        ...

    @property
    def answer(self) -> Callable[..., object]:
        """Return what answers it; its docstring says what that is."""
        ...

    @property
    def asked(self) -> type[BaseModel] | None:
        """Return what is sent, if anything is."""
        ...

    @property
    def told(self) -> type[BaseModel] | str:
        """Return what is answered: a model, or the type of a text."""
        ...

    @property
    def queries(self) -> tuple[str, ...]:
        """Return what may stand behind the path."""
        ...

    @property
    def unready(self) -> bool:
        """Tell whether the same may be answered with 503."""
        ...


def document(routes: Sequence[Described]) -> dict[str, Any]:
    """Return the document."""
    models: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {(Trouble, "serialization"): None}
    for route in routes:
        if route.asked is not None:
            models[route.asked, "validation"] = None
        if not isinstance(route.told, str):
            models[route.told, "serialization"] = None
    _, schemas = models_json_schema(list(models), ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Orchestrator of a machine",
            "version": __version__,
            "description": _DESCRIPTION,
        },
        "paths": paths,
        "components": {"schemas": schemas["$defs"]},
    }


def _operation(route: Described) -> dict[str, Any]:
    text = (route.answer.__doc__ or "").strip()
    answered = {"description": text, "content": _content(route.told)}
    operation: dict[str, Any] = {
        "operationId": route.answer.__name__,
        "summary": text.partition("\n")[0].rstrip("."),
        "responses": {
            "200": answered,
            **({"503": answered} if route.unready else {}),
            "default": {
                "description": "It was refused, or could not be done",
                "content": {PROBLEM: {"schema": _reference(Trouble)}},
            },
        },
    }
    parameters = [_parameter(name, "query") for name in route.queries]
    if "{name}" in route.path:
        parameters.append(_parameter("name", "path"))
    if parameters:
        operation["parameters"] = parameters
    if route.asked is not None:
        body = {"schema": _reference(route.asked)}
        operation["requestBody"] = {"required": False, "content": {JSON: body}}
    return operation


def _parameter(name: str, place: str) -> dict[str, Any]:
    return {"name": name, "in": place, "required": place == "path", "schema": {"type": "string"}}


def _content(told: type[BaseModel] | str) -> dict[str, Any]:
    if told == JSON:
        return {JSON: {"schema": {"type": "object"}}}
    if isinstance(told, str):
        return {told: {"schema": {"type": "string"}}}
    return {JSON: {"schema": _reference(told)}}


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _REF.format(model=model.__name__)}
