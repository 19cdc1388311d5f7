"""One configuration file as problems are pinned to it: places, and lines that may be shown.

It knows the tree and no meaning. Whoever finds a problem names a path of keys and numbers, or a
mark; the sheet adds the rest.
"""

from pathlib import Path

from orchestrator.supervisor.config.problem import Excerpt, Level, Problem, Seen
from orchestrator.supervisor.config.text.document import (
    Document,
    Entry,
    Items,
    Keys,
    Leaf,
    Mark,
    Node,
    lines_of,
)
from orchestrator.supervisor.config.text.masking import Mask, scrub
from orchestrator.supervisor.logic.wanted import Place

Steps = tuple[str | int, ...]


class Sheet:
    """The file, read as far as it can be."""

    def __init__(self, path: Path, raw: bytes, document: Document) -> None:
        self.path = path
        self.root = document.root
        self._paths = [path]
        self._masks = [Mask(lines_of(raw), document.root)]

    def take_in(
        self, path: Path, raw: bytes, document: Document
    ) -> tuple[Node | None, list[Problem]]:
        """Return the tree of another file, whose marks are known here from now on."""
        source = len(self._paths)
        self._paths.append(path)
        self._masks.append(Mask(lines_of(raw), document.root))
        root = None if document.root is None else _stamped(document.root, source)
        return root, self.faults(document, source)

    def faults(self, document: Document, source: int = 0) -> list[Problem]:
        """Return what is wrong with the text itself."""
        return [
            self.problem(
                fault.at._replace(source=source),
                fault.code,
                fault.message,
                hint=fault.hint,
                first=None
                if fault.first is None
                else ("the first one is here", fault.first._replace(source=source)),
            )
            for fault in document.faults
        ]

    def place(self, at: Mark) -> Place:
        """Return a mark as others know it."""
        return Place(str(self._paths[at.source]), at.line, at.column)

    def excerpt(self, at: Mark) -> Excerpt | None:
        """Return the line of a mark, unless it is empty."""
        line, caret = self._masks[at.source].line(at)
        return Excerpt(line, caret) if line.strip() else None

    def problem(  # noqa: PLR0913 - all that a problem may have
        self,
        at: Mark,
        code: str,
        message: str,
        *,
        hint: str | None = None,
        level: Level = Level.ERROR,
        first: tuple[str, Mark] | None = None,
    ) -> Problem:
        """Return a problem with its place, its line, and no secret."""
        seen = None
        if first is not None:
            seen = Seen(first[0], self.place(first[1]), self.excerpt(first[1]))
        return Problem(
            place=self.place(at),
            code=code,
            message=scrub(message),
            hint=scrub(hint) if hint else None,
            level=level,
            excerpt=self.excerpt(at),
            seen=seen,
        )

    def value_at(self, steps: Steps) -> Mark:
        """Return where a value stands, or the nearest thing around it that is there."""
        return self._walk(steps)[-1].node.at

    def key_at(self, steps: Steps) -> Mark:
        """Return where a key stands, or the nearest thing around it that is there."""
        return self._walk(steps)[-1].key_at

    def has(self, steps: Steps) -> bool:
        """Tell whether that is in the file."""
        return len(self._walk(steps)) == len(steps) + 1

    def keys(self, steps: Steps) -> list[str]:
        """Return the keys of a mapping; none, if that is no mapping."""
        node = self._walk(steps)[-1].node if self.has(steps) else None
        return list(node.entries) if isinstance(node, Keys) else []

    def text(self, steps: Steps) -> str | None:
        """Return a text of the file, for naming things by it."""
        node = self._walk(steps)[-1].node if self.has(steps) else None
        return node.value if isinstance(node, Leaf) and isinstance(node.value, str) else None

    def _walk(self, steps: Steps) -> list[Entry]:
        """Return what is met on the way, as far as it is in the file."""
        begin = Mark(1, 1)
        root = Leaf(begin, None, begin) if self.root is None else self.root
        met = [Entry(root.at, root)]
        for step in steps:
            node = met[-1].node
            if isinstance(node, Keys) and step in node.entries:
                met.append(node.entries[str(step)])
            elif isinstance(node, Items) and isinstance(step, int) and step < len(node.nodes):
                met.append(Entry(node.nodes[step].at, node.nodes[step]))
            else:
                break
        return met


def _stamped(node: Node, source: int) -> Node:
    """Return the same tree with marks that know which file they are in."""
    at = node.at._replace(source=source)
    match node:
        case Keys():
            return Keys(
                at,
                {
                    name: Entry(entry.key_at._replace(source=source), _stamped(entry.node, source))
                    for name, entry in node.entries.items()
                },
            )
        case Items():
            return Items(at, [_stamped(item, source) for item in node.nodes])
        case _:
            return Leaf(at, node.value, node.end._replace(source=source))


def plain(node: Node, *, nothing: bool = False) -> object:
    """Return the tree as plain values.

    A key without a value says nothing, so it is left out; only among variables it is a mistake.
    """
    match node:
        case Keys():
            return {
                name: plain(entry.node, nothing=name == "env")
                for name, entry in node.entries.items()
                if nothing or not (isinstance(entry.node, Leaf) and entry.node.value is None)
            }
        case Items():
            return [plain(item) for item in node.nodes]
        case _:
            return node.value
