"""From what was typed to a model of the wire, with each fault told by the option that it came from.

It asks no server: the models are the server's own, so what is wrong is known before anything is
sent.
"""

import json
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from orchestrator.protocol.base import Request

M = TypeVar("M", bound="Request")


def checked(
    model: type[M], fields: object, *, option: Callable[[str], str], hint: str | None = None
) -> M:
    """Return the model; `option` is what a field is called where it was typed."""
    from pydantic import ValidationError

    from orchestrator.kernel.errors import RequestInvalid

    try:
        return model.model_validate_json(json.dumps(fields, default=datetime.isoformat))
    except ValidationError as error:
        faults = [
            (option(".".join(map(str, one["loc"]))), one["msg"].removeprefix("Value error, "))
            for one in error.errors(include_url=False, include_input=False)
        ]
        place, fault = faults[0]
        raise RequestInvalid(
            f"{place}: {fault}" if place else fault, hint=hint, fields=tuple(faults[1:])
        ) from None
