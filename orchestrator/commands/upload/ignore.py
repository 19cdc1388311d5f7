"""Which paths of a folder stay at home: patterns as in `.gitignore`.

Pure: patterns and relative paths in, yes or no out. The last pattern that matches decides; `!`
turns one around; `/` at the end means folders only; a `/` before that ties a pattern to the
folder's root; `*` and `?` stop at a `/`, `**` does not. What lies in an excluded folder cannot be
taken back, as that folder is never looked into.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator.kernel.errors import RequestInvalid


@dataclass(frozen=True, slots=True)
class Pattern:
    """One line, ready to be asked."""

    regex: re.Pattern[str]
    folders_only: bool
    excludes: bool


class Ignore:
    """All patterns of one upload, in their order."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._patterns = [pattern for line in lines if (pattern := _pattern(line)) is not None]

    def excludes(self, path: str, *, folder: bool) -> bool:
        """Tell whether a path (with `/`, relative to the root) stays at home."""
        for pattern in reversed(self._patterns):
            if (folder or not pattern.folders_only) and pattern.regex.fullmatch(path):
                return pattern.excludes
        return False


def _pattern(line: str) -> Pattern | None:
    text = line.rstrip("\r\n")
    text = text if text.endswith("\\ ") else text.rstrip(" ")
    if not text or text.startswith("#"):
        return None
    excludes = not text.startswith("!")
    text = text.removeprefix("!")
    folders_only = text.endswith("/")
    text = text.rstrip("/")
    tied = "/" in text
    text = text.removeprefix("/").removeprefix("./")
    if not text:
        return None
    prefix = "" if tied else "(?:.*/)?"
    try:
        regex = re.compile(prefix + _translated(text), re.DOTALL)
    except re.error as error:
        raise RequestInvalid(
            f"the pattern {line!r} cannot be understood: {error}",
            hint=r"write \[ for a bracket that is meant as itself",
        ) from None
    return Pattern(regex, folders_only, excludes)


def _translated(text: str) -> str:
    regex, at = [], 0
    while at < len(text):
        rest = text[at:]
        if rest.startswith("**/"):
            regex.append("(?:.*/)?")
            at += 3
        elif rest.startswith("**"):
            regex.append(".*")
            at += 2
        elif rest.startswith("["):
            piece, length = _bracket(rest)
            regex.append(piece)
            at += length
        elif rest.startswith("\\") and len(rest) > 1:
            regex.append(re.escape(rest[1]))
            at += 2
        else:
            regex.append({"*": "[^/]*", "?": "[^/]"}.get(rest[0]) or re.escape(rest[0]))
            at += 1
    return "".join(regex)


def _bracket(rest: str) -> tuple[str, int]:
    """Return the regex of a `[…]` at the beginning of `rest`, and how much of it that is."""
    end = rest.find("]", 3 if rest[1:2] in {"!", "^"} else 2)
    if end < 0:
        return re.escape("["), 1
    inside = rest[1:end].replace("\\", "\\\\").replace("[", "\\[")
    if inside.startswith(("!", "^")):
        inside = f"^{inside[1:]}"
    return f"(?!/)[{inside}]", end + 1
