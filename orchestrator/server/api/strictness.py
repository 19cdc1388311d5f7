"""What JSON allows and we do not: repeated keys, endless nesting, numbers that nobody can hold.

Parsers disagree about each of these, so a body that two programs read differently is refused as a
whole. Only the API for people is looked at so closely: a worker's calls are hot, come from our own
program, and are bounded by their models.
"""

import json
import math
import re
from collections import Counter
from typing import Any, Final, NoReturn

from orchestrator.kernel.errors import RequestInvalid
from orchestrator.protocol.limits import JSON_DEPTH, JSON_KEYS
from orchestrator.server.api.faults import malformed, path

_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
_NOT_BRACKETS: Final = re.compile(r"[^\[\]{}]+")
_INTEGER_DIGITS: Final = 19
_INTEGER_MAX: Final = 2**63 - 1


class _Keys:
    """Counts keys while an object is read, and refuses one that comes twice."""

    def __init__(self) -> None:
        self._count = 0

    def __call__(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        self._count += len(pairs)
        if self._count > JSON_KEYS:
            raise malformed(f"it has more than {JSON_KEYS} keys")
        found = dict(pairs)
        if len(found) != len(pairs):
            counts = Counter(name for name, _ in pairs)
            twice = path([next(name for name, count in counts.items() if count > 1)])
            raise RequestInvalid(
                f"the key {twice} is there twice",
                hint="send each key once",
                code="json_invalid",
                fields=((twice, "is there twice"),),
            )
        return found


def check(body: bytes) -> None:
    """Refuse a body that is not JSON in our narrow sense; say nothing of what it means."""
    try:
        text = body.decode()
        json.loads(
            text,
            object_pairs_hook=_Keys(),
            parse_constant=_constant,
            parse_int=_integer,
            parse_float=_float,
        )
    except UnicodeDecodeError as error:
        raise malformed(f"byte {error.start} is not UTF-8") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise malformed(f"{error.msg.lower()} at {where}") from None
    except RecursionError:
        raise _too_deep() from None
    if _depth(text) > JSON_DEPTH:
        raise _too_deep()


def _too_deep() -> RequestInvalid:
    return malformed(f"it is nested more than {JSON_DEPTH} levels deep")


def _depth(text: str) -> int:
    """Return how deep brackets nest. Safe only for valid JSON, in which every string ends."""
    depth = deepest = 0
    for bracket in _NOT_BRACKETS.sub("", _STRING.sub("", text)):
        if bracket in "[{":
            depth += 1
            deepest = max(deepest, depth)
        else:
            depth -= 1
    return deepest


def _constant(name: str) -> NoReturn:
    raise malformed(f"{name} is not a JSON number")


def _integer(digits: str) -> int:
    # The length first: Python refuses to parse thousands of digits, and slowly up to there.
    if len(digits) > _INTEGER_DIGITS + 1 or abs(int(digits)) > _INTEGER_MAX:
        raise malformed("a number does not fit into 63 bits")
    return int(digits)


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise malformed("a number is too large")
    return number
