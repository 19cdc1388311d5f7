"""What a job asks of a worker, and what a worker says of itself: tags, and expressions of them."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from orchestrator.protocol import limits
from orchestrator.protocol.base import Label, Name, Request, printable
from orchestrator.protocol.expression import parse

Tag = Annotated[
    Label, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/=+-]*$", max_length=limits.TAG_CHARS)
]
Platform = Literal["linux", "macos", "windows"]


def _expression(text: str) -> str:
    parse(text)
    return text


Expression = Annotated[
    str,
    Field(min_length=1, max_length=limits.EXPRESSION_CHARS),
    AfterValidator(printable),
    AfterValidator(_expression),
]
"""A tag, or several that are joined by `&&`, `||` and `!`: see `protocol/expression.py`."""


def _listed(value: Any) -> Any:  # noqa: ANN401  # whatever somebody sends
    return [value] if isinstance(value, str) else value


Expressions = Annotated[
    list[Expression],
    Field(max_length=limits.TAGS),
    BeforeValidator(_listed, json_schema_input_type=list[Expression] | Expression),
]
"""All of them must be met. One alone may stand without its list."""


class Requirements(Request):
    """What a worker must have to be given the job. All of it."""

    tags: Expressions = Field(default=[])
    platform: Platform | None = None
    worker: Name | None = None
