"""JSON that somebody wrote: nothing of it is lost, or made up, on its way to the server."""

import json
from typing import Any


def read(text: str) -> Any:  # noqa: ANN401 - whatever somebody wrote
    """Return what a text says, or raise `ValueError` with what is wrong with it."""
    try:
        return json.loads(text, object_pairs_hook=_each_once, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a key that stands twice: one of its values would silently be lost."""
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} stands there twice")
    return value


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no number of JSON")
