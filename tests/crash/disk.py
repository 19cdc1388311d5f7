"""A disk as a power cut may leave it: what was synced, and any part of what was not.

The model is the strict one, of what is promised and not of what one file system happens to do. The
content of a file is durable up to what had been written when its last sync began; a name is durable
once its folder was synced, and a sync of the file is no help to its name. Of what is not durable
each write may be there, be missing, or be there in part, in whatever sectors; of each folder's
changes a beginning is there, because a folder's changes are kept in order.
"""

import os
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Final

from tests.crash.trace import Event

SECTOR: Final = 512
_DELETED: Final = " (deleted)"
_NAMING: Final = frozenset(
    {"rename", "renameat", "renameat2", "unlink", "unlinkat", "rmdir", "mkdir", "mkdirat"}
)


@dataclass(slots=True, eq=False)
class _Change:
    """A write to a file, or a new length if there is no data."""

    offset: int
    data: bytes | None
    ends: int
    """When the call returned: a sync that began earlier does not count for it."""


@dataclass(slots=True, eq=False)
class _File:
    """The content of a file: what is durable, and what may be."""

    durable: bytearray = field(default_factory=bytearray)
    pending: list[_Change] = field(default_factory=list)
    position: int = 0

    def full(self) -> bytearray:
        """Return the content as programs see it."""
        content = bytearray(self.durable)
        for change in self.pending:
            _apply(content, change.offset, change.data)
        return content

    def sync(self, began: int) -> None:
        """Make durable what had been done by then."""
        rest = []
        for change in self.pending:
            if change.ends < began:
                _apply(self.durable, change.offset, change.data)
            else:
                rest.append(change)
        self.pending = rest


def _apply(content: bytearray, offset: int, data: bytes | None) -> None:
    if data is None:
        if offset < len(content):
            del content[offset:]
        else:
            content.extend(bytes(offset - len(content)))
        return
    if offset > len(content):
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


Node = _File | None
"""A file, or a folder."""
Names = dict[str, Node]


@dataclass(frozen=True, slots=True, eq=False)
class _Naming:
    """A change of names: what goes away, what comes, and the folder whose sync makes it durable."""

    folder: str
    gone: str | None
    came: str | None
    node: Node
    ends: int


@dataclass(frozen=True, slots=True)
class State:
    """One way in which the machine may come up again: its folders, and its files with content."""

    cut: int
    """Up to where in the record things had happened."""
    how: str
    folders: tuple[str, ...]
    files: dict[str, bytes]

    def lay_out(self, root: Path) -> None:
        """Write it all into an empty folder."""
        for name in self.folders:
            (root / name).mkdir(mode=0o700)
        for name, content in self.files.items():
            descriptor = os.open(root / name, os.O_WRONLY | os.O_CREAT, 0o600)
            try:
                os.write(descriptor, content)
            finally:
                os.close(descriptor)


class Disk:
    """A folder and all below it, followed through a record."""

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self._names: Names = {"": None}
        self._durable: Names = {"": None}
        self._namings: list[_Naming] = []
        self._syncs: list[tuple[int, Event]] = []

    def _relative(self, path: str) -> str:
        if path == self._root:
            return ""
        return path.removeprefix(f"{self._root}/")

    def take(self, event: Event) -> bool:
        """Follow one event; tell whether it changed what a power cut could leave."""
        if event.path.endswith(_DELETED):
            return False
        path = self._relative(event.path)
        if event.name in _NAMING:
            self._take_name(path, event)
            return True
        match event.name:
            case "openat":
                return self._open(path, event)
            case "write" | "pwrite64":
                return self._write(path, event)
            case "lseek":
                # A folder is read again from its beginning by this as well.
                if isinstance(node := self._names.get(path), _File):
                    node.position = event.offset
                return False
            case "ftruncate":
                self._file(path).pending.append(_Change(event.offset, None, event.ends))
            case "fallocate":
                return self._allocate(path, event)
            case "fsync" | "fdatasync":
                self._sync(path, event)
            case _:
                return False
        return True

    def _take_name(self, path: str, event: Event) -> None:
        match event.name:
            case "mkdir" | "mkdirat":
                self._name(path, None, event)
            case "unlink" | "unlinkat" | "rmdir":
                self._unlink(path, event)
            case _:
                self._rename(path, self._relative(event.to), event)

    def _file(self, path: str) -> _File:
        node = self._names.get(path)
        if not isinstance(node, _File):
            raise KeyError(f"the record changes a file that it never created: {path!r}")
        return node

    def _open(self, path: str, event: Event) -> bool:
        if path not in self._names:
            self._name(path, _File(), event)
            return True
        node = self._names[path]
        if node is None:
            return False
        node.position = len(node.full()) if "O_APPEND" in event.flags else 0
        if "O_TRUNC" in event.flags:
            node.pending.append(_Change(0, None, event.ends))
            return True
        return False

    def _write(self, path: str, event: Event) -> bool:
        file = self._file(path)
        offset = event.offset
        if offset < 0:
            offset = file.position
            file.position += len(event.data)
        file.pending.append(_Change(offset, event.data, event.ends))
        return True

    def _allocate(self, path: str, event: Event) -> bool:
        """Room is not content, unless the file becomes longer by it."""
        file = self._file(path)
        if event.flags == "0" and event.offset > len(file.full()):
            file.pending.append(_Change(event.offset, None, event.ends))
        return True

    def _name(self, path: str, node: Node, event: Event) -> None:
        self._names[path] = node
        self._namings.append(_Naming(_parent(path), None, path, node, event.ends))

    def _rename(self, source: str, to: str, event: Event) -> None:
        moved = {
            name: node
            for name, node in self._names.items()
            if name == source or name.startswith(f"{source}/")
        }
        for name, node in moved.items():
            del self._names[name]
            self._names[to + name.removeprefix(source)] = node
        node = moved[source]
        if node is None:
            raise KeyError(f"the record renames a folder, which the model does not know: {source}")
        self._namings.append(_Naming(_parent(to), source, to, node, event.ends))

    def _unlink(self, path: str, event: Event) -> None:
        del self._names[path]
        self._namings.append(_Naming(_parent(path), path, None, None, event.ends))

    def _sync(self, path: str, event: Event) -> None:
        node = self._names.get(path)
        if isinstance(node, _File):
            node.sync(event.begins)
            return
        rest = []
        for naming in self._namings:
            if naming.folder == path and naming.ends < event.begins:
                _rename_in(self._durable, naming)
            else:
                rest.append(naming)
        self._namings = rest

    def survivors(self, cut: int, chance: random.Random, count: int) -> Iterator[State]:
        """Yield states that a cut right now may leave: nothing pending, all of it, some of it."""
        yield self._state(cut, "none", None, 0.0)
        yield self._state(cut, "all", None, 1.0)
        for _ in range(count):
            share = chance.choice((0.1, 0.5, 0.9))
            yield self._state(cut, f"some ({share:g})", chance, share)

    def _state(self, cut: int, how: str, chance: random.Random | None, share: float) -> State:
        names = dict(self._durable)
        stopped: set[str] = set()
        for naming in self._namings:
            if naming.folder in stopped:
                continue
            if not _happens(chance, share):
                stopped.add(naming.folder)
                continue
            _rename_in(names, naming)
        files: dict[str, bytes] = {}
        folders: list[str] = []
        for name in sorted(names):
            if name and not _reachable(name, names):
                continue
            node = names[name]
            if node is None:
                if name:
                    folders.append(name)
            else:
                files[name] = bytes(_content(node, chance, share))
        return State(cut, how, tuple(folders), files)

    def everything(self) -> dict[str, bytes]:
        """Return all files as programs see them now."""
        return {name: bytes(node.full()) for name, node in self._names.items() if node is not None}


@cache
def _parent(path: str) -> str:
    parent = str(PurePosixPath(path).parent)
    return "" if parent == "." else parent


def _rename_in(names: Names, naming: _Naming) -> None:
    if naming.gone is not None:
        names.pop(naming.gone, None)
    if naming.came is not None:
        names[naming.came] = naming.node


def _reachable(name: str, names: Names) -> bool:
    parent = _parent(name)
    while parent:
        if parent not in names or names[parent] is not None:
            return False
        parent = _parent(parent)
    return True


def _happens(chance: random.Random | None, share: float) -> bool:
    return share >= 1.0 if chance is None else chance.random() < share


def _content(file: _File, chance: random.Random | None, share: float) -> bytearray:
    content = bytearray(file.durable)
    for change in file.pending:
        if chance is None:
            if share >= 1.0:
                _apply(content, change.offset, change.data)
        elif chance.random() < share:
            _apply(content, change.offset, change.data)
        elif change.data and len(change.data) > SECTOR and chance.random() < 0.3:
            for offset, piece in _torn(change.offset, change.data, chance):
                _apply(content, offset, piece)
    return content


def _torn(offset: int, data: bytes, chance: random.Random) -> Iterable[tuple[int, bytes]]:
    """Return those sectors of a write that happened to get through."""
    first = SECTOR - offset % SECTOR
    edges: Sequence[int] = [0, *range(first, len(data), SECTOR), len(data)]
    for start, end in pairwise(edges):
        if chance.random() < 0.5:
            yield offset + start, data[start:end]
