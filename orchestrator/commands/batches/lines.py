"""Jobs out of a file with one on each line, in as many calls as they take.

It asks no server. A job names another one of the file by its place, from 0; a call knows only its
own items, so whatever went before is named by its id there.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.commands import json_text
from orchestrator.kernel.errors import RequestInvalid
from orchestrator.protocol import limits

CALL_BYTES: Final = limits.JSON_BODY_BYTES * 7 // 8
CALL_KEYS: Final = limits.JSON_KEYS * 7 // 8
"""Of what a body may have; the rest is for what stands around the items."""
_ID_BYTES: Final = 32
"""What the id of a job is longer than the place of an item."""
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
    # By line feeds alone: within a text JSON may have the others that Python knows.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            job = json_text.read(line)
        except ValueError as error:
            raise RequestInvalid(f"line {number} is not JSON: {error}", hint=_HINT) from None
        if not isinstance(job, dict):
            raise RequestInvalid(f"line {number} is not a JSON object", hint=_HINT)
        found.append(Line(number, len(found), job, _size(line, job), _keys(job)))
    return found


def calls(lines: Sequence[Line]) -> list[list[Line]]:
    """Return them in as many calls as they take; whatever one cannot say is refused before any."""
    found, done = list(_calls(lines)), 0
    for some in found:
        items(some, [""] * done)
        done += len(some)
    return found


def _calls(lines: Sequence[Line]) -> Iterator[list[Line]]:
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
    place = one.get("item") if isinstance(one, Mapping) else None
    if not isinstance(one, Mapping) or not isinstance(place, int) or isinstance(place, bool):
        return one
    rest = {name: value for name, value in one.items() if name != "item"}
    if 0 <= place < len(done):
        return {**rest, "job": done[place]}
    if place >= len(done) + count:
        raise RequestInvalid(
            f"line {line.number} depends on item {place}, which is not sent together with it",
            hint=f"put a job before those that depend on it: a call takes {limits.BATCH_ITEMS:,}",
        )
    return {**rest, "item": place - len(done)}


def _size(line: str, job: Mapping[str, Any]) -> int:
    """Return how long a job is at most, once the places that it names are ids."""
    named = job.get("depends_on")
    return len(line.encode()) + _ID_BYTES * (len(named) if isinstance(named, list) else 0)


def _keys(job: Mapping[str, Any]) -> int:
    """Return how many keys a job has, however deep they lie."""
    count = 0
    inside: list[object] = [job]
    while inside:
        value = inside.pop()
        if isinstance(value, Mapping):
            count += len(value)
            inside += value.values()
        elif isinstance(value, list):
            inside += value
    return count
