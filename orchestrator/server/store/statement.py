"""Our statements, and how each driver wants them.

A statement has `:name` where a value belongs. Nearly all of them are one text for every database;
one that has to be said in another way on PostgreSQL is a `Statement` with both texts, side by side,
so that whoever changes one sees the other.
"""

import re
from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Final, Self

from orchestrator.server.store.interface import Value

_NAME: Final = re.compile(r"(?<![:\w]):([a-z][a-z0-9_]*)")
_WORDS_OF_SQLITE: Final = (
    (re.compile(r"\bBLOB\b"), "BYTEA"),
    (re.compile(r"\s*\bWITHOUT ROWID\b"), ""),
    # Bytes in their order, as SQLite and Python compare text: an order that depends on a language
    # differs from machine to machine, and changes under an index when the system is upgraded.
    (re.compile(r"\bTEXT\b"), 'TEXT COLLATE "C"'),
)

Places = Callable[[Mapping[str, Value]], tuple[Value, ...]]
"""Puts the parameters of a statement in their places."""


class Statement(str):
    """A statement whose text is SQLite's, with another one for PostgreSQL."""

    __slots__ = ("postgres",)
    postgres: str

    def __new__(cls, sqlite: str, *, postgres: str) -> Self:
        """Return both texts as one; they take the same parameters and give the same rows."""
        both = super().__new__(cls, sqlite)
        both.postgres = postgres
        return both


def for_sqlite(sql: str) -> tuple[str, Places]:
    """Return a statement with `?` for each value."""
    names = _NAME.findall(sql)
    return _NAME.sub("?", sql), _places(names)


def for_postgres(sql: str) -> tuple[str, Places]:
    """Return a statement with `$1`, `$2` … for each name, however often it is used."""
    text = sql.postgres if isinstance(sql, Statement) else sql
    names = list(dict.fromkeys(_NAME.findall(text)))
    numbers = {name: f"${index}" for index, name in enumerate(names, start=1)}
    return _NAME.sub(lambda match: numbers[match[1]], text), _places(names)


def step_for_postgres(sql: str) -> str:
    """Return a statement of a migration with PostgreSQL's words for SQLite's own."""
    for word, instead in _WORDS_OF_SQLITE:
        sql = word.sub(instead, sql)
    return sql


def _places(names: list[str]) -> Places:
    match names:
        case []:
            return lambda _: ()
        case [name]:
            return lambda params: (params[name],)
        case _:
            return itemgetter(*names)
