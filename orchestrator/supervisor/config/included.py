"""Other files that the configuration names with `include`: their workers join its own.

They become one tree in which every mark knows its file, so whatever is found later (two workers of
one name in two files, a directory that is not there) is told with the right place without anybody
having to ask which file it was. Such a file says `workers`, and nothing else.
"""

import fnmatch
import glob
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from orchestrator.supervisor.config import modes
from orchestrator.supervisor.config.model import INCLUDES, VERSION, WORKERS, is_path
from orchestrator.supervisor.config.places import Folders, PathFault
from orchestrator.supervisor.config.problem import Problem
from orchestrator.supervisor.config.text import document
from orchestrator.supervisor.config.text.document import Entry, Items, Keys, Leaf, Mark
from orchestrator.supervisor.config.text.sheet import Sheet

FILES: Final = WORKERS
"""More files than there may be workers say nothing."""
NAMES: Final = 10_000
"""So many names of a folder are looked at: it is read at each change, while everything runs."""
Texts = tuple[tuple[Path, bytes], ...]


class PatternFault(Exception):
    """A pattern by which nothing can be found: why, and what to do."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(slots=True)
class Included:
    """What came of all that is included."""

    problems: list[Problem] = field(default_factory=list)
    watched: set[Path] = field(default_factory=set)
    """Files and folders: what changes in one of them may change what is wanted."""
    open_to_others: list[str | None] = field(default_factory=list)
    """Of each file, in the order of the sheet, how others can read it."""
    texts: list[tuple[Path, bytes]] = field(default_factory=list, repr=False)
    """What the files held."""


def gather(sheet: Sheet, environ: Mapping[str, str], kept: Texts | None = None) -> Included:
    """Take the workers of all included files into the sheet.

    `kept` is what they once held: that is taken instead, whatever the disk has now.
    """
    included = Included()
    said = _said(sheet)
    if not said or not isinstance(sheet.root, Keys):
        return included
    nodes = []
    texts = _kept(kept, said[0]) if kept is not None else _on_disk(sheet, environ, said, included)
    for at, path, taken in texts:
        if len(included.texts) == FILES:
            what = f"these are more than {FILES:,} files"
            included.problems.append(sheet.problem(at, "too-many", what))
            break
        included.open_to_others.append(taken.open_to_others)
        included.texts.append((path, taken.raw))
        nodes += _workers(sheet, path, taken.raw, included.problems)
    own = sheet.root.entries.get("workers", Entry(said[0].at, Items(said[0].at, [])))
    if isinstance(own.node, Leaf) and own.node.value is None:
        own = Entry(own.key_at, Items(own.key_at, []))
    if isinstance(own.node, Items):
        all_nodes = Items(own.node.at, [*own.node.nodes, *nodes])
        entries = {**sheet.root.entries, "workers": Entry(own.key_at, all_nodes)}
        sheet.root = Keys(sheet.root.at, entries)
    return included


def _said(sheet: Sheet) -> list[Leaf]:
    """Return what is named; what is no list of paths the model will complain of."""
    entry = sheet.root.entries.get("include") if isinstance(sheet.root, Keys) else None
    nodes = entry.node.nodes if entry is not None and isinstance(entry.node, Items) else []
    return [node for node in nodes[:INCLUDES] if isinstance(node, Leaf) and is_path(node.value)]


def _kept(kept: Texts, first: Leaf) -> Iterator[tuple[Mark, Path, modes.Taken]]:
    for path, raw in kept:
        yield first.at, path, modes.Taken(raw, None)


def _on_disk(
    sheet: Sheet, environ: Mapping[str, str], said: list[Leaf], included: Included
) -> Iterator[tuple[Mark, Path, modes.Taken]]:
    """Yield each file that is named, once, in the order of the list and of the alphabet."""
    folders, met = Folders(sheet.path.parent, environ), {sheet.path}
    for leaf in said:
        try:
            pattern = folders.path(str(leaf.value))
        except PathFault as fault:
            included.problems.append(sheet.problem(leaf.at, "path", fault.message))
            continue
        try:
            found = _matching(pattern, included)
        except PatternFault as fault:
            problem = sheet.problem(leaf.at, "include", fault.message, hint=fault.hint)
            included.problems.append(problem)
            continue
        for path in found:
            if path in met:
                continue
            met.add(path)
            included.watched.add(path)
            try:
                yield leaf.at, path, modes.take(path, document.BYTES)
            except modes.Untaken as why:
                problem = sheet.problem(leaf.at, "include", why.message, hint=why.hint)
                included.problems.append(problem)


def _matching(pattern: Path, included: Included) -> list[Path]:
    """Return the files of a pattern; of a plain name that one, whether or not it is there."""
    folder = pattern.parent
    if glob.has_magic(str(folder)):
        raise PatternFault("a pattern may stand in the name of the file alone")
    if not glob.has_magic(pattern.name):
        return [pattern]
    if "**" in pattern.name:
        raise PatternFault("'**' is not understood: folders below are not looked at", "write one *")
    included.watched.add(folder)
    # Hidden ones are what editors leave while they write.
    names = [name for name in _names(folder) if not name.startswith(".")]
    return [folder / name for name in sorted(fnmatch.filter(names, pattern.name))]


def _names(folder: Path) -> list[str]:
    """Return what is in a folder; nothing, if it is not there, as it may come."""
    names: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if len(names) == NAMES:
                    hint = "give the configuration a folder of its own"
                    raise PatternFault(f"{folder} holds more than {NAMES:,} names", hint)
                names.append(entry.name)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise PatternFault(f"{folder} cannot be read: {(error.strerror or '').lower()}") from None
    return names


def _workers(sheet: Sheet, path: Path, raw: bytes, problems: list[Problem]) -> list[document.Node]:
    """Return the workers of one file, with whatever is wrong with the file itself noted."""
    read = document.read(raw, must_be_json=path.suffix == ".json")
    root, faults = sheet.take_in(path, raw, read)
    problems += faults
    match root:
        case None | Leaf(value=None):
            return []
        case Keys():
            pass
        case _:
            hint = "write 'workers:', and below it a list"
            problems.append(sheet.problem(root.at, "type", "this must be a mapping", hint=hint))
            return []
    for name, entry in root.entries.items():
        if name == "version" and (not isinstance(entry.node, Leaf) or entry.node.value != VERSION):
            problems.append(sheet.problem(entry.node.at, "version", f"this must be {VERSION}"))
        elif name not in {"version", "workers"}:
            what = f"{name!r} cannot be said in a file that is included"
            hint = f"it says 'workers', and nothing else; say it in {sheet.path}"
            problems.append(sheet.problem(entry.key_at, "unknown-key", what, hint=hint))
    match root.entries.get("workers"):
        case None | Entry(node=Leaf(value=None)):
            return []
        case Entry(node=Items(nodes=nodes)):
            return nodes
        case entry:
            hint = "write '- name: web', and its keys below it, for each worker"
            told = sheet.problem(entry.node.at, "type", "this must be a list", hint=hint)
            problems.append(told)
            return []
