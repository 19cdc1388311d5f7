"""Whether files are what they were: cheap to ask each second, and sure before anybody acts on it.

A mark is what the kernel says of a file (which one, how long, when written), so a file that is
renamed into place, reached by another link, or deleted and made again has another one. It is only
the reason to look. What counts is the content, and only when it is the same twice in a row, because
an editor may be in the middle of writing.
"""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import anyio

Marks = dict[Path, tuple[int, ...] | None]
Contents = dict[Path, str]
SETTLE_S: Final = 0.3
"""Between two looks that must agree."""
TRIES: Final = 10
"""A file that is written all the time is taken as it is in the end."""
_BYTES: Final = 2 * 1024 * 1024
"""Twice what a configuration may be: a device or a film is not read to its end."""


def marks(paths: Iterable[Path]) -> Marks:
    """Return what the kernel says of these files now."""
    return {path: _mark(path) for path in paths}


def contents(paths: Iterable[Path]) -> Contents:
    """Return a digest of each file's content; that of one which is not there is a word."""
    return {path: _content(path) for path in paths}


async def settled(paths: Iterable[Path]) -> Contents:
    """Return the contents once they have stopped changing."""
    known = list(paths)
    before = contents(known)
    for _ in range(TRIES):
        await anyio.sleep(SETTLE_S)
        now = contents(known)
        if now == before:
            break
        before = now
    return before


def _mark(path: Path) -> tuple[int, ...] | None:
    try:
        entry = path.stat()
    except OSError:
        return None
    return entry.st_dev, entry.st_ino, entry.st_size, entry.st_mtime_ns, entry.st_mode


def _content(path: Path) -> str:
    try:
        # Not blocking: a FIFO would wait for somebody to write into it.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        with os.fdopen(descriptor, "rb") as file:
            mode = os.fstat(descriptor).st_mode
            return f"{mode:o} {hashlib.sha256(file.read(_BYTES)).hexdigest()}"
    except IsADirectoryError:
        return _listing(path)
    except OSError as error:
        return f"nothing to read ({error.errno})"


def _listing(path: Path) -> str:
    """Return what stands for the names in a folder, but for hidden ones, as editors make them."""
    try:
        names = sorted(each.name for each in path.iterdir() if each.name[0] != ".")
    except OSError as error:
        return f"a folder that cannot be read ({error.errno})"
    return f"a folder {hashlib.sha256(os.fsencode(chr(0).join(names))).hexdigest()}"
