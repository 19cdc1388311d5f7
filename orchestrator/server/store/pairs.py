"""Look up many (job, attempt) pairs with one statement.

The pairs are a VALUES list, whose columns are called `column1` and `column2` on every database. Its
length is rounded up to a power of two, so that a handful of texts serves every batch and each of
them is compiled once; the filling is NULL, which equals nothing.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Final

from orchestrator.server.store.interface import Reader, Value

PAIRS_MAX: Final = 256
"""Pairs in one statement: 512 parameters, and nine texts in all."""
Pair = tuple[str, int]


def tuples_of_pairs(
    reader: Reader, sql: str, pairs: Sequence[Pair], **others: Value
) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a statement that has `{pairs}` where a table of two columns belongs."""
    for begin in range(0, len(pairs), PAIRS_MAX):
        some = pairs[begin : begin + PAIRS_MAX]
        room = 1 << (len(some) - 1).bit_length()
        values: list[Value] = [value for pair in some for value in pair]
        values += [None] * (2 * (room - len(some)))
        named = dict(zip(_names(room), values, strict=True))
        yield from reader.tuples(_text(sql, room), **others, **named)


@lru_cache(maxsize=64)
def _names(room: int) -> tuple[str, ...]:
    return tuple(f"{word}_{index}" for index in range(room) for word in ("job", "attempt"))


@lru_cache(maxsize=64)
def _text(sql: str, room: int) -> str:
    pairs = ", ".join(f"(:job_{index}, :attempt_{index})" for index in range(room))
    return sql.replace("{pairs}", f"(VALUES {pairs}) AS wanted")
