"""Workspaces: a fresh folder for each attempt that has inputs, and its end.

It knows no job. A workspace carries a marker with its own name, and only what carries it is ever
removed: by open folders, following no link and crossing no mount, whatever the job has made of it.

    <state>/workspaces/<job>-<attempt>/marker
                                      /files/      where the job runs
"""

import contextlib
import itertools
import os
import re
import stat
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

from orchestrator.kernel.errors import StateUnavailable
from orchestrator.kernel.failpoints import reached
from orchestrator.kernel.files import private_dir
from worker.logic.attempt import Key

MARKER: Final = "marker"
FILES: Final = "files"
_NEW: Final = ".new-"
_NAME: Final = re.compile(r"(job_[0-9a-z]{26})-([1-9][0-9]*)")
_MARKER_BYTES: Final = 100
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MOUNTS: Final = Path("/proc/self/mountinfo")


class Workspaces:
    """All workspaces of one worker."""

    def __init__(self, folder: Path) -> None:
        # What runs in it ends with the power, and is not taken up again.
        self._folder = private_dir(folder, durable=False)

    def files(self, key: Key) -> Path:
        """Return the folder in which an attempt's job runs."""
        return self._folder / _name(key) / FILES

    def make(self, key: Key) -> Path:
        """Return a new, empty workspace's own folder; what an earlier try left is removed.

        It appears under its name only when it carries its marker.
        """
        self.wipe(key)
        name = _name(key)
        new, final = self._folder / (_NEW + name), self._folder / name
        with contextlib.suppress(FileExistsError):
            new.mkdir(mode=0o700)
        (new / MARKER).write_text(name, encoding="ascii")
        (new / FILES).mkdir(mode=0o700, exist_ok=True)
        new.rename(final)
        return final

    def wipe(self, key: Key) -> None:
        """Remove an attempt's workspace, if it has one; `StateUnavailable` says what stays."""
        name = _name(key)
        try:
            reached("workspace.before_wipe")
            _wipe(self._folder, name)
        except FileNotFoundError:
            return
        except OSError as error:
            raise StateUnavailable(
                f"the workspace {self._folder / name} cannot be removed: {error.strerror}",
                hint="look what is in it (a mount, or files of another user), and remove it",
            ) from error

    def leftovers(self, kept: Collection[Key]) -> list[Key]:
        """Return whose workspaces are there although nothing of them is kept."""
        found = []
        for entry in self._folder.iterdir():
            match = _NAME.fullmatch(entry.name.removeprefix(_NEW))
            if match and (key := Key(match[1], int(match[2]))) not in kept:
                found.append(key)
        return found


def _name(key: Key) -> str:
    return f"{key.job_id}-{key.number}"


def _wipe(parent: Path, name: str) -> None:
    _refuse_mounts(parent / name)
    above = os.open(parent, _FOLDER)
    try:
        for place in (name, _NEW + name):
            with contextlib.suppress(FileNotFoundError):
                _remove(above, place, marker=name)
    finally:
        os.close(above)


def _refuse_mounts(path: Path) -> None:
    """Refuse to enter what is mounted below: it may be anybody's home, on the same disk."""
    prefix = os.fsencode(path) + b"/"
    if not _MOUNTS.exists():
        return
    for line in _MOUNTS.read_bytes().splitlines():
        place = re.sub(rb"\\([0-7]{3})", lambda m: bytes([int(m[1], 8)]), line.split(b" ")[4])
        if place.startswith(prefix):
            raise OSError(0, f"something is mounted at {os.fsdecode(place)}")


def _remove(above: int, name: str, *, marker: str) -> None:
    """Remove one workspace. The marker goes last, so whatever interrupts it can be gone on with."""
    top = os.open(name, _FOLDER, dir_fd=above)
    try:
        if not _carries(top, marker):
            with contextlib.suppress(OSError):
                os.rmdir(name, dir_fd=above)  # of one that never got its marker, nothing is lost
            return
        known = {entry.name for entry in _entries(top)}
        names = (str(number) for number in itertools.count() if str(number) not in known)
        todo = _empty(top, top, names, kept=MARKER)
        while todo:
            place = todo.pop()
            inner = _entered(place, top)
            try:
                todo += _empty(inner, top, names)
            finally:
                os.close(inner)
            os.rmdir(place, dir_fd=top)
        os.unlink(MARKER, dir_fd=top)
        os.rmdir(name, dir_fd=above)
    finally:
        os.close(top)


def _carries(folder: int, marker: str) -> bool:
    """Tell whether a folder is one of ours."""
    try:
        descriptor = os.open(MARKER, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        return False
    try:
        return os.read(descriptor, _MARKER_BYTES) == marker.encode()
    finally:
        os.close(descriptor)


def _empty(folder: int, top: int, names: Iterator[str], kept: str | None = None) -> list[str]:
    """Remove the files of a folder and move its folders to the top; return their names there.

    Moving them first keeps two folders open, however deep a job has nested them.
    """
    moved: list[str] = []
    for entry in _entries(folder):
        if entry.is_dir(follow_symlinks=False):
            os.close(_entered(entry.name, folder))
            moved.append(next(names))
            os.rename(entry.name, moved[-1], src_dir_fd=folder, dst_dir_fd=top)
        elif entry.name != kept:
            os.unlink(entry.name, dir_fd=folder)
    return moved


def _entries(folder: int) -> list["os.DirEntry[str]"]:
    with os.scandir(folder) as entries:
        return list(entries)


def _entered(name: str, above: int) -> int:
    """Open a folder, and give its owner the rights that a job may have taken away."""
    try:
        folder = os.open(name, _FOLDER, dir_fd=above)
    except PermissionError:
        folder = _forced_open(name, above)
    if os.fstat(folder).st_mode & stat.S_IRWXU != stat.S_IRWXU:
        os.fchmod(folder, stat.S_IRWXU)
    return folder


def _forced_open(name: str, above: int) -> int:
    """Open a folder that may not be read, changing it by a handle and never by its name."""
    if not hasattr(os, "O_PATH"):
        raise PermissionError(0, f"the folder {name} may not be read")
    handle = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above)
    try:
        os.chmod(f"/proc/self/fd/{handle}", stat.S_IRWXU)  # noqa: PTH101 - a path of the kernel's
        return os.open(".", _FOLDER, dir_fd=handle)
    finally:
        os.close(handle)
