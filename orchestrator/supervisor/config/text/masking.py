"""Lines of a configuration as they may be shown: with everything hidden that could be a secret.

What may be seen is listed, not what may not: the values of keys that we know and that hold no
secret. A value under a key that nobody knows is hidden, because it may be a token under a name
with a typing error in it.
"""

import re
from collections.abc import Iterator
from typing import Final

from orchestrator.supervisor.config.model import (
    Disk,
    File,
    Limits,
    Log,
    Machine,
    Metrics,
    Server,
    Worker,
)
from orchestrator.supervisor.config.text.document import Items, Keys, Leaf, Mark, Node

HIDDEN: Final = "…"
_SECRET_KEYS: Final = frozenset({"token", "env"})
_PARTS: Final = (File, Server, Machine, Disk, Metrics, Log, Limits, Worker)
OPEN_KEYS: Final = frozenset(name for part in _PARTS for name in part.model_fields) - _SECRET_KEYS
_CREDENTIAL: Final = re.compile(
    r"machine_[0-9A-Za-z][^\s\"',}\]]*|secret_\w+|\b[psw]ak_\w{6,}|://[^/\s@]+@"
)
_POINTER: Final = re.compile(r"\$\{(?:file|env|cred):[^{}]*\}")
"""What says where a secret is; a command may hold one among its arguments."""
_KEY: Final = re.compile(r"(?P<indent>[\s-]*)[\"']?(?P<name>[\w.-]+)[\"']?\s*:(?P<rest>\s.*|$)")
_ONE_WORD: Final = re.compile(r"\s*[^\s:{\"']*\s*(?:#.*)?")
_EMPTY: Final = re.compile(r"[\s{}\[\],:#-]*|\s*#.*")
Span = tuple[int, int]


def scrub(text: str) -> str:
    """Return a sentence without anything in it that looks like a credential."""
    return _CREDENTIAL.sub(HIDDEN, text)


class Mask:
    """Which parts of which line are hidden."""

    def __init__(self, lines: list[str], root: Node | None) -> None:
        self._lines = lines
        self._spans: dict[int, list[Span]] = {}
        if root is None:
            self._hide_by_the_look()
        else:
            self._hide_leaves(root, is_open=True)

    def line(self, at: Mark) -> tuple[str, int]:
        """Return the line that may be shown, and where in it the mark's column has come to."""
        if at.line > len(self._lines):
            return "", 0
        text = self._lines[at.line - 1]
        caret = min(at.column - 1, len(text))
        spans = [*self._spans.get(at.line, ()), *(f.span() for f in _CREDENTIAL.finditer(text))]
        shown, position, moved = "", 0, None
        for begin, end in _joined(spans):
            if moved is None and caret <= begin:
                moved = len(shown) + caret - position
            shown += text[position:begin] + HIDDEN
            if moved is None and caret < end:
                moved = len(shown) - 1
            position = end
        if moved is None:
            moved = len(shown) + caret - position
        return shown + text[position:], moved

    def _hide_leaves(self, node: Node, *, is_open: bool) -> None:
        match node:
            case Keys():
                for name, entry in node.entries.items():
                    self._hide_leaves(entry.node, is_open=is_open and name in OPEN_KEYS)
            case Items():
                for item in node.nodes:
                    self._hide_leaves(item, is_open=is_open)
            case Leaf():
                if not is_open and not _POINTER.fullmatch(str(node.value)):
                    self._hide(node.at, node.end)

    def _hide(self, at: Mark, end: Mark) -> None:
        for number in range(at.line, min(end.line, len(self._lines)) + 1):
            begin = at.column - 1 if number == at.line else 0
            stop = end.column - 1 if number == end.line else len(self._lines[number - 1])
            if begin < stop:
                self._spans.setdefault(number, []).append((begin, stop))

    def _hide_by_the_look(self) -> None:
        """Hide in a text that could not be read: by its lines, their indents and their keys."""
        closed: int | None = None  # the indent of the key below which everything is hidden
        for number, line in enumerate(self._lines, 1):
            if _EMPTY.fullmatch(line):
                continue
            found = _KEY.match(line)
            indent = len(line) - len(line.lstrip())
            if closed is not None and indent > closed:
                self._spans[number] = [(indent, len(line))]
                continue
            closed = None
            if found is None:
                self._spans[number] = [(indent, len(line))]
            elif found["name"] not in OPEN_KEYS:
                closed = len(found["indent"])
                self._hide_rest(number, found)
            elif not _ONE_WORD.fullmatch(found["rest"]):
                self._hide_rest(number, found)

    def _hide_rest(self, number: int, found: re.Match[str]) -> None:
        begin = found.start("rest")
        if found["rest"].strip():
            self._spans[number] = [(begin + 1, found.end("rest"))]


def _joined(spans: list[Span]) -> Iterator[Span]:
    """Yield what is covered, from left to right, nothing twice."""
    begin, end = -1, -1
    for left, right in sorted(spans):
        if left > end:
            if begin >= 0:
                yield begin, end
            begin, end = left, right
        end = max(end, right)
    if begin >= 0:
        yield begin, end
