"""What a job of each built-in kind gives back when it succeeds.

A kind that is not here says nothing about its result, so any JSON object will do.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Literal

from pydantic import Field, ValidationError
from pydantic_core import to_json

from orchestrator.protocol.base import Request


class DelayResult(Request):
    """It waited, for about as long as it was asked to."""

    ok: Literal[True]
    took_ms: int = Field(ge=0, lt=2**53)


RESULTS: Final[Mapping[str, type[Request]]] = MappingProxyType({"delay": DelayResult})
"""The result model of each built-in kind that promises one."""
_FAULTS_SHOWN: Final = 3


def fault_of(kind: str, result: dict[str, Any] | None) -> str | None:
    """Return what is wrong with a result of that kind, in a line; `None` if it is as promised."""
    model = RESULTS.get(kind)
    if model is None:
        return None
    if result is None:
        return f"a job of the kind {kind} gives a result, and there is none"
    try:
        model.model_validate_json(to_json(result))
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        told = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in found]
        more = len(told) - _FAULTS_SHOWN
        tail = [f"{more} more"] if more > 0 else []
        listed = "; ".join([*told[:_FAULTS_SHOWN], *tail])
        return f"the result is not one of the kind {kind}: {listed}"
    return None
