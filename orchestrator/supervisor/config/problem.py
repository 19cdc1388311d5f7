"""What is wrong with a configuration, in words for the person who edits it.

It finds nothing out. A problem names its place, what is wrong there and what to do; the line that
it shows has been through `masking.py`, so no secret of a file is in it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from orchestrator.supervisor.logic.wanted import Place

SHOWN_CHARS: Final = 100
"""Of a source line: minified JSON is one line of a megabyte."""


class Level(StrEnum):
    """What a problem stops."""

    ERROR = "error"
    """The file, or the worker that it belongs to."""
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A line of the file with nothing secret in it, and how far from its left the caret stands."""

    line: str
    caret: int

    def render(self) -> list[str]:
        """Return the line and the caret below it; of a long line only what is around the caret."""
        long = len(self.line) > SHOWN_CHARS
        begin = max(0, self.caret - SHOWN_CHARS // 2) if long else 0
        cut = self.line[begin : begin + SHOWN_CHARS]
        shown = "".join(letter if letter.isprintable() else " " for letter in cut)
        dots = "…" if begin else ""
        rest = "…" if begin + SHOWN_CHARS < len(self.line) else ""
        return [
            f"    {dots}{shown}{rest}".rstrip(),
            " " * (4 + len(dots) + self.caret - begin) + "^",
        ]


@dataclass(frozen=True, slots=True)
class Seen:
    """Another place that a problem is about, such as the first of two that are alike."""

    words: str
    place: Place
    excerpt: Excerpt | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong, at one place."""

    place: Place
    code: str
    """For programs: a word that stays when the sentence is improved."""
    message: str
    hint: str | None = None
    level: Level = Level.ERROR
    excerpt: Excerpt | None = None
    seen: Seen | None = None

    def __str__(self) -> str:
        """Return it as compilers do: the place, then the sentence."""
        prefix = "" if self.level is Level.ERROR else f"{self.level}: "
        return f"{self.place}: {prefix}{self.message}"

    def render(self) -> list[str]:
        """Return the lines that a person reads."""
        lines = [str(self), *(self.excerpt.render() if self.excerpt else [])]
        if self.seen is not None:
            lines.append(f"  {self.seen.place}: {self.seen.words}")
            lines += self.seen.excerpt.render() if self.seen.excerpt else []
        if self.hint:
            lines.append(f"  {self.hint}")
        return lines

    def as_json(self) -> dict[str, object]:
        """Return it for programs."""
        return {
            "file": self.place.file,
            "line": self.place.line,
            "column": self.place.column,
            "level": str(self.level),
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "see": None if self.seen is None else str(self.seen.place),
        }


def errors(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Return those that stop something."""
    return tuple(problem for problem in problems if problem.level is Level.ERROR)
