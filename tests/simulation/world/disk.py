"""A disk that forgets: what was not synced may be gone after a power cut, in part and torn.

A file's bytes and a folder's names are two things: a file that was synced under a name that was not
is lost all the same.
"""

import errno
import os
import random
from typing import TYPE_CHECKING, Final

from tests.simulation.world.process import Process

if TYPE_CHECKING:
    from tests.simulation.world.machine import Machine

SECTOR: Final = 512


class Inode:
    """A file's bytes: as programs see them, and as the disk has them."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.data = bytearray()
        self.durable = b""
        self.changes: list[tuple[int, bytes | None]] = []
        self.locked_by: File | None = None

    def write(self, data: bytes, offset: int) -> None:
        """Write, not yet for good."""
        end = offset + len(data)
        if len(self.data) < offset:
            self.data.extend(bytes(offset - len(self.data)))
        self.data[offset:end] = data
        self.changes.append((offset, data))

    def truncate(self, size: int) -> None:
        """Cut it off there, not yet for good."""
        if size != len(self.data):
            self.data[size:] = bytes(max(0, size - len(self.data)))
            self.changes.append((size, None))

    def sync(self) -> None:
        """Bring all of it to the disk."""
        if self.changes:
            self.durable = bytes(self.data)
            self.changes = []

    def crash(self, chance: random.Random, way: str) -> None:
        """Let it be as the disk has it: with none, all or some of what was under way."""
        data = bytearray(self.durable)
        if way == "cut":
            # What was written last is what is lost.
            del self.changes[chance.randrange(len(self.changes) + 1) :]
        for offset, written in self.changes:
            if way == "none" or (way == "some" and chance.random() < 0.5):
                continue
            if written is None:
                data[offset:] = b""
                continue
            if way == "torn":
                sectors = range(0, len(written), SECTOR)
                kept = [at for at in sectors if chance.random() < 0.6]
                for at in kept:
                    _place(data, offset + at, written[at : at + SECTOR])
            else:
                _place(data, offset, written)
        self.data, self.durable, self.changes = data, bytes(data), []
        self.locked_by = None


def _place(data: bytearray, offset: int, piece: bytes) -> None:
    if len(data) < offset:
        data.extend(bytes(offset - len(data)))
    data[offset : offset + len(piece)] = piece


class Disk:
    """One disk: folders of names, flat, by their whole path."""

    def __init__(self, machine: "Machine") -> None:
        self.machine = machine
        self.names: dict[str, Inode] = {}
        self.folders: dict[str, None] = {"/": None}
        self.durable: dict[str, Inode] = {}
        self.changes: list[tuple[str, str, Inode | None]] = []
        """(folder, name, what it means now), in the order of the calls."""
        self.full = False
        self.broken_syncs = 0
        self.lies = False
        """Whether it says of segments that they are synced, and has them in its cache."""
        self._numbers = 0

    def create(self, path: str) -> Inode:
        """Return a new file under a new name."""
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        self._numbers += 1
        inode = self.names[path] = Inode(self._numbers)
        self._change(path, inode)
        return inode

    def rename(self, source: str, target: str) -> None:
        """Give a file another name, in one step also for a power cut."""
        inode = self.names.pop(source)
        self.names[target] = inode
        self.changes.append((_folder(target), f"{source}\0{target}", inode))

    def unlink(self, path: str) -> None:
        """Take a name away."""
        del self.names[path]
        self._change(path, None)

    def _change(self, path: str, inode: Inode | None) -> None:
        self.changes.append((_folder(path), path, inode))

    def sync_folder(self, folder: str) -> None:
        """Bring the names of a folder to the disk."""
        left = []
        for change in self.changes:
            if change[0] == folder:
                self._make_durable(change)
            else:
                left.append(change)
        self.changes = left

    def _make_durable(self, change: tuple[str, str, Inode | None]) -> None:
        _, name, inode = change
        source, _, target = name.partition("\0")
        if inode is None:
            self.durable.pop(source, None)
        elif target:
            self.durable.pop(source, None)
            self.durable[target] = inode
        else:
            self.durable[source] = inode

    def crash(self, chance: random.Random) -> None:
        """Let a power cut happen: of what was not synced, some beginning of it is there."""
        # What a disk lied about is what it was told last, of files whose names it has.
        survived = 1.0 if self.lies else chance.choice((0.0, 0.5, 1.0))
        count = int(len(self.changes) * survived)
        for change in self.changes[:count]:
            self._make_durable(change)
        self.changes = []
        self.names = dict(self.durable)
        way = "cut" if self.lies else chance.choice(("none", "all", "some", "torn", "cut"))
        for _, inode in sorted(self.names.items()):
            inode.crash(chance, way)
        self.full = self.lies = False
        self.broken_syncs = 0

    def check_room(self, inode: Inode, end: int) -> None:
        """Raise when a file is to grow on a full disk."""
        if self.full and end > len(inode.data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def listing(self, folder: str) -> list[str]:
        """Return the names in a folder."""
        prefix = folder.rstrip("/") + "/"
        size = len(prefix)
        inside = [path[size:] for path in (*self.names, *self.folders) if path.startswith(prefix)]
        return sorted(name for name in inside if name and "/" not in name)


def _folder(path: str) -> str:
    return path.rpartition("/")[0] or "/"


class File:
    """An open file."""

    def __init__(self, disk: Disk, path: str, inode: Inode) -> None:
        self.disk = disk
        self.path = path
        self.inode = inode
        self.where: list[tuple[Process, int]] = []
        self.holders = 0
        self.position = 0

    def readable(self) -> bool:
        """Tell that a file never keeps anybody waiting."""
        return True

    def closed_by_last(self) -> None:
        """Let go of the lock."""
        if self.inode.locked_by is self:
            self.inode.locked_by = None


class Folder:
    """An open folder."""

    def __init__(self, disk: Disk, path: str) -> None:
        self.disk = disk
        self.path = path
        self.where: list[tuple[Process, int]] = []
        self.holders = 0

    def readable(self) -> bool:
        """Tell that nobody waits for it."""
        return True

    def closed_by_last(self) -> None:
        """Do nothing."""
