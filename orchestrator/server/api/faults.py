"""What is wrong with a request, field by field, in words that a person can act on.

It never repeats a value: a value may be a secret, or a megabyte.
"""

import difflib
from collections.abc import Sequence
from types import UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from orchestrator.kernel.errors import RequestInvalid

SHOWN: Final = 20
"""Faults in one answer; who has more of them has one cause."""
COUNTED: Final = 1000
"""Above this many faults the list itself would be the attack."""
_NAME_CHARS: Final = 100
Place = Sequence[str | int]


def invalid(error: ValidationError, model: type[BaseModel], *, below: str = "") -> RequestInvalid:
    """Return the refusal that names each place and fault; `below` is where the model sits."""
    if error.error_count() > COUNTED:
        return RequestInvalid(f"the request has more than {COUNTED} faults", hint=_HINT)
    details = error.errors(include_url=False, include_input=False)
    if details[0]["type"] == "json_invalid":
        return malformed(details[0]["ctx"]["error"])
    found = [_fault(detail, model, below) for detail in details[:SHOWN]]
    names = ", ".join(dict.fromkeys(field for field, _, _ in found))
    return RequestInvalid(
        f"the request is not valid: {names or 'the body'}",
        hint=next((hint for _, _, hint in found if hint), _HINT),
        fields=tuple((field or "body", fault) for field, fault, _ in found),
    )


def malformed(what: str) -> RequestInvalid:
    """Return the refusal of what is not JSON, or not JSON that we read."""
    return RequestInvalid(
        f"the body is not JSON that can be read: {what}",
        hint="send one JSON object in UTF-8, with each key once",
        code="json_invalid",
    )


_HINT: Final = "GET /api/openapi.json describes every field"


def _fault(detail: ErrorDetails, model: type[BaseModel], below: str) -> tuple[str, str, str | None]:
    """Return the field, its fault, and what to do about it."""
    place = detail["loc"]
    field = path(place, below=below)
    match detail["type"]:
        case "missing":
            return field, "is required", None
        case "extra_forbidden":
            near = nearest(str(place[-1]), _fields_at(model, place[:-1]))
            hint = f"did you mean {near}?" if near else None
            return field, "is not a known field" + (f"; {hint}" if hint else ""), hint
        case _:
            return field, plain(detail["msg"]), None


def plain(message: str) -> str:
    """Return pydantic's sentence as the rest of ours: `timeout_s: must be …`."""
    return (
        message.removeprefix("Value error, ")
        .replace("Input should", "must")
        .replace("Input tag", "the tag")
    )


def nearest(name: str, known: Sequence[str]) -> str | None:
    """Return the known name that was probably meant."""
    close = difflib.get_close_matches(name[:_NAME_CHARS], known, n=1)
    return close[0] if close else None


def path(place: Place, *, below: str = "") -> str:
    """Return a place as people write it: `inputs.0.file`."""
    parts = ([below] if below else []) + [str(part)[:_NAME_CHARS] for part in place]
    return ".".join(parts)


def _fields_at(model: type[BaseModel], place: Place) -> list[str]:
    """Return the names of the fields that are known at a place of a model."""
    found: type[BaseModel] | None = model
    for part in place:
        if found is None or isinstance(part, int):
            continue
        info = found.model_fields.get(part)
        found = _model_in(info.annotation) if info else None
    return list(found.model_fields) if found else []


def _model_in(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401  # any annotation
    """Return the model inside `Model | None`, `list[Model]` and the like."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in {Annotated, Union, UnionType, list}:
        return next((m for part in get_args(annotation) if (m := _model_in(part))), None)
    return None
