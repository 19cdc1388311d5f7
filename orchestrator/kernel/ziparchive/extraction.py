"""Unpacking, in a way that cannot leave the folder even while somebody tampers with it.

Every step is relative to an open directory and follows no link; every file is new. The structure is
checked before the first byte is written and the content while it is written, so a large archive is
inflated once; whatever goes wrong, everything that was made is removed again.
"""

import contextlib
import os
from pathlib import Path
from typing import Final, Self

from orchestrator.kernel.errors import RequestInvalid
from orchestrator.kernel.ziparchive.content import Placed, place, unpacked
from orchestrator.kernel.ziparchive.directory import read_directory
from orchestrator.kernel.ziparchive.limits import DEFAULTS, ZipLimits, ZipSummary
from orchestrator.kernel.ziparchive.problem import unsafe
from orchestrator.kernel.ziparchive.source import Source, opened

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER_MODE: Final = 0o755


def extract(path: Path, into: Path, limits: ZipLimits = DEFAULTS) -> ZipSummary:
    """Unpack the archive at `path` into the existing folder `into`, or leave that as it was.

    What is there already is never replaced: a second archive may add files, and a clash is refused.
    """
    with opened(path) as source, _Tree(into) as tree:
        directory = read_directory(source, limits)
        places = place(source, directory)
        try:
            for placed in places:
                _unpack(source, placed, tree)
        except (RequestInvalid, OSError):
            tree.remove_made()
            raise
    return directory.summary()


def _unpack(source: Source, placed: Placed, tree: "_Tree") -> None:
    entry = placed.entry
    if entry.is_folder:
        tree.make_folders(entry.name.rstrip("/").split("/"))
        for _ in unpacked(source, placed):
            pass
        return
    descriptor = tree.new_file(entry.name)
    try:
        for piece in unpacked(source, placed):
            rest = memoryview(piece)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        os.fchmod(descriptor, entry.mode)
    finally:
        os.close(descriptor)


class _Tree:
    """A folder held open, and what was made in it."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def __enter__(self) -> Self:
        self._folder = os.open(self._root, _FOLDER)
        self._made: list[str] = []
        self._parts: list[str] = []
        self._open: list[int] = []
        return self

    def __exit__(self, *_: object) -> None:
        self._leave(0)
        os.close(self._folder)

    def make_folders(self, parts: list[str]) -> int:
        """Return the open folder at `parts`, made where it was missing.

        The folders of the last call stay open: entries come folder by folder.
        """
        common = 0
        for ours, wanted in zip(self._parts, parts, strict=False):
            if ours != wanted:
                break
            common += 1
        self._leave(common)
        for depth in range(common, len(parts)):
            self._enter(parts[: depth + 1])
        return self._here

    @property
    def _here(self) -> int:
        return self._open[-1] if self._open else self._folder

    def _enter(self, parts: list[str]) -> None:
        path = "/".join(parts)
        try:
            os.mkdir(parts[-1], _FOLDER_MODE, dir_fd=self._here)
            self._made.append(path + "/")
        except FileExistsError:
            pass
        try:
            folder = os.open(parts[-1], _FOLDER, dir_fd=self._here)
        except NotADirectoryError as clash:
            raise _in_the_way(path) from clash
        self._open.append(folder)
        self._parts = parts

    def _leave(self, depth: int) -> None:
        while len(self._open) > depth:
            os.close(self._open.pop())
        self._parts = self._parts[:depth]

    def new_file(self, name: str) -> int:
        """Return a descriptor for writing a file that did not exist."""
        *folders, last = name.split("/")
        folder = self.make_folders(folders)
        try:
            descriptor = os.open(last, _NEW_FILE, 0o600, dir_fd=folder)
        except FileExistsError as clash:
            raise _in_the_way(name) from clash
        self._made.append(name)
        return descriptor

    def remove_made(self) -> None:
        """Remove what was made, newest first; what is gone or was swapped meanwhile stays so."""
        for name in reversed(self._made):
            *folders, last = name.rstrip("/").split("/")
            with contextlib.suppress(OSError, RequestInvalid):
                folder = self.make_folders(folders)
                if name.endswith("/"):
                    os.rmdir(last, dir_fd=folder)
                else:
                    os.unlink(last, dir_fd=folder)


def _in_the_way(name: str) -> RequestInvalid:
    return unsafe(
        "exists already in the folder it is unpacked into",
        entry=name,
        hint="leave it out of one of the inputs",
    )
