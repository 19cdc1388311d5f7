"""Read a file that may hold secrets, and refuse one that others could read or have written.

It is opened once, and what was opened is looked at: a name could lead elsewhere a moment later.
"""

import os
import shlex
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_STICKY_PARENT: Final = stat.S_ISVTX


@dataclass(frozen=True, slots=True)
class Taken:
    """What a file held when it was looked at."""

    raw: bytes = field(repr=False)
    open_to_others: str | None
    """How others can read it, with the command that ends it; `None`: they cannot."""


class Untaken(Exception):
    """A file that cannot be used: why, and what to do."""

    def __init__(self, message: str, hint: str | None = None, *, missing: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.missing = missing


def take(path: Path, limit: int) -> Taken:
    """Return up to one byte more than `limit` of a regular file that nobody else can write."""
    try:
        # Not blocking: a FIFO would wait for somebody to write into it.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            entry = os.fstat(descriptor)
            _check_kind(path, entry)
            _check_owner(path, entry)
            raw = _read(descriptor, limit + 1)
        finally:
            os.close(descriptor)
        _check_parent(path)
    except FileNotFoundError:
        raise Untaken(f"{path} is not there", missing=True) from None
    except OSError as error:
        raise Untaken(f"{path} cannot be read: {(error.strerror or '').lower()}") from None
    loose = stat.S_IMODE(entry.st_mode) & 0o077
    command = f"chmod 600 {_quoted(path)}" if loose else None
    return Taken(raw, command)


def _read(descriptor: int, size: int) -> bytes:
    raw = b""
    while len(raw) < size and (piece := os.read(descriptor, size - len(raw))):
        raw += piece
    return raw


def _check_kind(path: Path, entry: os.stat_result) -> None:
    if stat.S_ISREG(entry.st_mode):
        return
    kinds = {stat.S_IFDIR: "a directory", stat.S_IFIFO: "a pipe", stat.S_IFCHR: "a device"}
    what = kinds.get(stat.S_IFMT(entry.st_mode), "no regular file")
    raise Untaken(f"{path} is {what}", "name a regular file")


def _check_owner(path: Path, entry: os.stat_result) -> None:
    if entry.st_uid not in {os.geteuid(), 0}:
        raise Untaken(
            f"{path} belongs to user {entry.st_uid}, and this runs as {os.geteuid()}",
            f"take it over with: chown {os.geteuid()} {_quoted(path)}",
        )
    if entry.st_mode & 0o022:
        raise Untaken(f"other users can write {path}", f"close it with: chmod 600 {_quoted(path)}")


def _check_parent(path: Path) -> None:
    """Refuse a folder in which others could put another file in its place."""
    parent = path.resolve().parent
    entry = parent.stat()
    if entry.st_mode & 0o002 and not entry.st_mode & _STICKY_PARENT:
        raise Untaken(
            f"everybody can replace {path}, because everybody can write {parent}",
            f"close the folder with: chmod o-w {_quoted(parent)}",
        )


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
