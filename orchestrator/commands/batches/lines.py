"""Jobs out of a file with one on each line, in as many calls as they take.

It asks no server. A job names another one of the file by its place, from 0; a call knows only its
own items, so whatever went before is named by its id there.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.kernel.errors import RequestInvalid
from orchestrator.protocol import limits

CALL_BYTES: Final = limits.JSON_BODY_BYTES * 7 // 8
CALL_KEYS: Final = limits.JSON_KEYS * 7 // 8
"""Of what a body may have; the rest is for what stands around the items."""
_HINT: Final = 'each line is a job, such as {"kind": "command", "params": {"argv": ["make"]}}'


@dataclass(frozen=True, slots=True)
class Line:
    """A job, and where it stands in the file; its place among the jobs counts from 0."""

    number: int
    place: int
    job: dict[str, Any]
    size: int
    keys: int


def read(text: str) -> list[Line]:
    """Return the jobs of a file; lines with nothing on them do not count."""
    found: list[Line] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            job = json.loads(line, object_pairs_hook=_each_once)
        except (ValueError, RecursionError) as error:
            raise RequestInvalid(f"line {number} is not JSON: {error}", hint=_HINT) from None
        if not isinstance(job, dict):
            raise RequestInvalid(f"line {number} is not a JSON object", hint=_HINT)
        found.append(Line(number, len(found), job, len(line.encode()), _keys(job)))
    return found


def calls(lines: Sequence[Line]) -> Iterator[list[Line]]:
    """Yield as many of them at a time as one call takes."""
    some: list[Line] = []
    size = keys = 0
    for line in lines:
        size, keys = size + line.size, keys + line.keys
        if some and (len(some) == limits.BATCH_ITEMS or size > CALL_BYTES or keys > CALL_KEYS):
            yield some
            some, size, keys = [], line.size, line.keys
        some.append(line)
    if some:
        yield some


def items(some: Sequence[Line], done: Sequence[str]) -> list[dict[str, Any]]:
    """Return the items of one call; `done` are the ids of all jobs of the calls before it."""
    return [{**line.job, **_named(line, len(some), done)} for line in some]


def faults(some: Sequence[Line], fields: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Return what the server says of items, in lines of the file."""
    return tuple((_line_of(some, field), fault) for field, fault in fields)


def _line_of(some: Sequence[Line], field: str) -> str:
    name, _, rest = field.partition(".")
    place, _, inner = rest.partition(".")
    if name != "items" or not place.isdigit() or int(place) >= len(some):
        return field
    number = some[int(place)].number
    return f"line {number}: {inner}" if inner else f"line {number}"


def _named(line: Line, count: int, done: Sequence[str]) -> dict[str, Any]:
    """Return what a job depends on, in the words of its call."""
    wanted = line.job.get("depends_on")
    if not isinstance(wanted, list):
        return {}
    return {"depends_on": [_one(line, one, count, done) for one in wanted]}


def _one(line: Line, one: object, count: int, done: Sequence[str]) -> object:
    if not isinstance(one, Mapping) or not isinstance(one.get("item"), int):
        return one
    place = one["item"]
    rest = {name: value for name, value in one.items() if name != "item"}
    if 0 <= place < len(done):
        return {**rest, "job": done[place]}
    if place >= len(done) + count:
        raise RequestInvalid(
            f"line {line.number} depends on item {place}, which is not sent together with it",
            hint=f"put a job before those that depend on it: a call takes {limits.BATCH_ITEMS:,}",
        )
    return {**rest, "item": place - len(done)}


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands there twice")
    return found


def _keys(value: object) -> int:
    if isinstance(value, dict):
        return len(value) + sum(map(_keys, value.values()))
    return sum(map(_keys, value)) if isinstance(value, list) else 0
