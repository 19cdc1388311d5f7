"""What a job asks of a worker's tags, read from a text into a tree.

    any    =  all { "||" all }
    all    =  one { "&&" one }
    one    =  "!" one  |  "(" any ")"  |  name [ ("=" | "!=" | ">=" | "<=" | ">" | "<") value ]

It knows no worker and no server: `core/tags.py` says who meets a tree. Tags and depth are bounded,
and whoever takes in a text bounds its length, so that nobody can make a server think for long.
"""

import difflib
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NoReturn

from orchestrator.protocol import limits


class Comparison(StrEnum):
    """How the value of a tag is looked at."""

    EQUAL = "="
    AT_LEAST = ">="
    AT_MOST = "<="
    ABOVE = ">"
    BELOW = "<"


@dataclass(frozen=True, slots=True)
class Tagged:
    """A tag: only its name, or its name with a value that is compared."""

    name: str
    comparison: Comparison | None = None
    value: str = ""


@dataclass(frozen=True, slots=True)
class Not:
    """What must not be so."""

    part: "Tree"


@dataclass(frozen=True, slots=True)
class Every:
    """All of several."""

    parts: tuple["Tree", ...]


@dataclass(frozen=True, slots=True)
class Some:
    """At least one of several."""

    parts: tuple["Tree", ...]


Tree = Tagged | Not | Every | Some

_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._:/+-]*"
_VALUE: Final = re.compile(r"\s*([A-Za-z0-9._:/+-][A-Za-z0-9._:/=+-]*)", re.ASCII)
_TOKEN: Final = re.compile(rf"\s*(?:({_NAME})|(&&|\|\||!=|>=|<=|[!()=<>])|(\S)|$)", re.ASCII)
_VERSION: Final = re.compile(r"v?(\d{1,9}(?:\.\d{1,9}){0,7})", re.ASCII)
_COMPARISONS: Final = {one.value: one for one in Comparison}
_WORDS: Final = {"and": "&&", "or": "||", "not": "!", "&": "&&", "|": "||", "==": "=", "=>": ">="}
_SHOWN: Final = 30
"""Characters of the text on each side of the place that is wrong."""


class ExpressionInvalid(ValueError):
    """A text that is no expression: `at` is the character, counted from 0, that is wrong."""

    def __init__(self, text: str, at: int, fault: str) -> None:
        first = max(at - _SHOWN, 0)
        before = ("…" if first else "") + text[first:at]
        after = text[at : at + _SHOWN] + ("…" if len(text) > at + _SHOWN else "")
        caret = " " * len(before) + "^"
        super().__init__(f"at character {at + 1}: {fault}\n    {before}{after}\n    {caret}")
        self.at = at
        self.fault = fault


def parse(text: str) -> Tree:
    """Return the tree of an expression, or raise `ExpressionInvalid` with place and remedy."""
    return _Parser(text).whole()


def version(value: str) -> tuple[int, ...] | None:
    """Return the numbers of `12` or `v1.10.2`, without zeros at the end; `None` of what is none."""
    match = _VERSION.fullmatch(value)
    if match is None:
        return None
    parts = [int(part) for part in match[1].split(".")]
    while len(parts) > 1 and not parts[-1]:
        parts.pop()
    return tuple(parts)


class _Parser:
    """One text on its way into a tree: what comes next, and where."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._end = 0
        self._tags = 0
        self._at, self._name, self._sign = 0, "", ""
        self._advance()

    def _advance(self) -> None:
        match = _TOKEN.match(self._text, self._end)
        self._name = (match[1] or "") if match else ""
        self._sign = (match[2] or match[3] or "") if match else ""
        self._end = match.end() if match else len(self._text)
        self._at = self._end - len(self._name or self._sign)

    def _refuse(self, fault: str, at: int | None = None) -> NoReturn:
        raise ExpressionInvalid(self._text, self._at if at is None else at, fault)

    def whole(self) -> Tree:
        tree = self._any(0)
        if self._sign == ")":
            self._refuse("this ) closes nothing")
        if self._name or self._sign:
            self._refuse(f"expected && or ||, and found {self._found()}{self._meant()}")
        return tree

    def _any(self, depth: int) -> Tree:
        parts = [self._all(depth)]
        while self._sign == "||":
            self._advance()
            parts.append(self._all(depth))
        return parts[0] if len(parts) == 1 else Some(tuple(parts))

    def _all(self, depth: int) -> Tree:
        parts = [self._one(depth)]
        while self._sign == "&&":
            self._advance()
            parts.append(self._one(depth))
        return parts[0] if len(parts) == 1 else Every(tuple(parts))

    def _one(self, depth: int) -> Tree:
        if depth > limits.EXPRESSION_DEPTH:
            self._refuse(f"it is deeper than {limits.EXPRESSION_DEPTH} levels")
        if self._sign == "!":
            self._advance()
            return Not(self._one(depth + 1))
        if self._sign == "(":
            return self._within(depth)
        if not self._name:
            self._refuse(f"expected a tag, and found {self._found()}{self._meant()}")
        return self._tag()

    def _within(self, depth: int) -> Tree:
        opened = self._at
        self._advance()
        tree = self._any(depth + 1)
        if self._sign != ")":
            if self._name or self._sign:
                self._refuse(f"expected && || or ), and found {self._found()}{self._meant()}")
            self._refuse("this ( is never closed", opened)
        self._advance()
        return tree

    def _tag(self) -> Tree:
        if self._name.lower() in _WORDS:
            self._refuse(f"{self._name} is no tag{self._meant()}")
        self._tags += 1
        if self._tags > limits.TAGS:
            self._refuse(f"it names more than {limits.TAGS} tags")
        name = self._short(self._name, self._at)
        self._advance()
        if self._sign == "!=":
            return Not(Tagged(name, Comparison.EQUAL, self._value(Comparison.EQUAL)))
        comparison = _COMPARISONS.get(self._sign)
        if comparison is None:
            return Tagged(name)
        return Tagged(name, comparison, self._value(comparison))

    def _value(self, comparison: Comparison) -> str:
        """Read what stands behind a comparison; what is more than equal needs an order."""
        sign = self._text[self._at : self._end + 1]
        match = None if sign in _WORDS else _VALUE.match(self._text, self._end)
        if match is None:
            at = self._at if sign in _WORDS else self._end
            meant = f"; did you mean {_WORDS[sign]}?" if sign in _WORDS else ""
            self._refuse(f"expected a value behind {self._sign}{meant}", at)
        value = self._short(match[1], match.start(1))
        if comparison is not Comparison.EQUAL and version(value) is None:
            fault = f"{value} has no order: write a number or a version, as in cuda>=12.4"
            self._refuse(fault, match.start(1))
        self._end = match.end()
        self._advance()
        return value

    def _short(self, text: str, at: int) -> str:
        if len(text) > limits.TAG_CHARS:
            self._refuse(f"a tag has at most {limits.TAG_CHARS} characters", at)
        return text

    def _found(self) -> str:
        word = self._name or self._sign
        return f'"{word}"' if word else "the end"

    def _meant(self) -> str:
        word = self._name or self._sign
        near = difflib.get_close_matches(word.lower(), _WORDS, n=1, cutoff=0.8)
        return f"; did you mean {_WORDS[near[0]]}?" if near else ""
