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
from orchestrator.supervisor.config.text.document import (
    Items,
    Keys,
    Leaf,
    Mark,
    Node,
    lines_of,
)
from orchestrator.supervisor.logic.redaction import CREDENTIAL, HIDDEN

_SECRET_KEYS: Final = frozenset({"token", "env"})
_PARTS: Final = (File, Server, Machine, Disk, Metrics, Log, Limits, Worker)
OPEN_KEYS: Final = frozenset(name for part in _PARTS for name in part.model_fields) - _SECRET_KEYS
_POINTER: Final = re.compile(r"\$\{(?:file|env|cred):[^{}]*\}")
"""What says where a secret is; a command may hold one among its arguments."""
_KEY: Final = re.compile(r"(?P<indent>[\s-]*)[\"']?(?P<name>[\w.-]+)[\"']?\s*:(?P<rest>\s.*|$)")
_ONE_WORD: Final = re.compile(r"\s*[^\s:{\"']*\s*(?:#.*)?")
_EMPTY: Final = re.compile(r"[\s{}\[\],:#-]*|\s*#.*")
_WORD: Final = re.compile(r"[^\s\"'{}\[\],]{8,}")
"""What may be a secret by itself."""
Span = tuple[int, int]


def scrub(text: str) -> str:
    """Return a sentence without anything in it that looks like a credential."""
    return CREDENTIAL.sub(HIDDEN, text)


def shown(node: Node, *, is_open: bool = True) -> object:
    """Return a tree as plain values, with every value hidden that a `Mask` would hide."""
    match node:
        case Keys():
            return {
                scrub(name): shown(entry.node, is_open=is_open and name in OPEN_KEYS)
                for name, entry in node.entries.items()
            }
        case Items():
            return [shown(item, is_open=is_open) for item in node.nodes]
        case Leaf():
            is_open = is_open or bool(_POINTER.fullmatch(str(node.value)))
            value = scrub(node.value) if isinstance(node.value, str) else node.value
            return value if is_open else HIDDEN


def hidden(raw: bytes, root: Node | None) -> set[str]:
    """Return what a `Mask` hides of a file: whole values, and the longer words of them."""
    lines = lines_of(raw)
    spans = Mask(lines, root).spans
    texts = [lines[number - 1][a:b] for number, pairs in spans.items() for a, b in pairs]
    words = {word for text in texts for word in _WORD.findall(text)}
    return words | {text.strip("'\" ") for text in texts}


class Mask:
    """Which parts of which line are hidden."""

    def __init__(self, lines: list[str], root: Node | None) -> None:
        self._lines = lines
        self.spans: dict[int, list[Span]] = {}
        """line → from where to where it is hidden."""
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
        spans = [*self.spans.get(at.line, ()), *(f.span() for f in CREDENTIAL.finditer(text))]
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
                self.spans.setdefault(number, []).append((begin, stop))

    def _hide_by_the_look(self) -> None:
        """Hide in a text that could not be read: by its lines, their indents and their keys."""
        closed: int | None = None  # the indent of the key below which everything is hidden
        for number, line in enumerate(self._lines, 1):
            if _EMPTY.fullmatch(line):
                continue
            found = _KEY.match(line)
            indent = len(line) - len(line.lstrip())
            if closed is not None and indent > closed:
                self.spans[number] = [(indent, len(line))]
                continue
            closed = None
            if found is None:
                self.spans[number] = [(indent, len(line))]
            elif found["name"] not in OPEN_KEYS:
                closed = len(found["indent"])
                self._hide_rest(number, found)
            elif not _ONE_WORD.fullmatch(found["rest"]):
                self._hide_rest(number, found)

    def _hide_rest(self, number: int, found: re.Match[str]) -> None:
        begin = found.start("rest")
        if found["rest"].strip():
            self.spans[number] = [(begin + 1, found.end("rest"))]


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
