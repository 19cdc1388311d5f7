"""Disk space that is set aside in advance, so that an exit record fits when the disk is full.

It knows the file's length and nothing of what is in it. Space is taken beyond the end of the file
(its length does not change, so readers see only what was written), some way ahead of the writing;
output may not use the last part of it.
"""

import ctypes
import errno
import os
from collections.abc import Callable
from typing import Final

_KEEP_SIZE: Final = 1
CHUNK_BYTES: Final = 256 * 1024
"""Taken at once: often enough to see a full disk early, too seldom to cost anything."""
RESERVE_BYTES: Final = 16 * 1024
"""What output leaves free: a grant, a pid and an exit record are about one KiB."""
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def is_full(error: OSError) -> bool:
    """Tell whether an error means that there is no room, rather than that the disk is broken."""
    return error.errno in _FULL


def _load() -> Callable[[int, int, int, int], int] | None:
    try:
        function = ctypes.CDLL(None, use_errno=True).fallocate
    except (OSError, AttributeError):
        return None
    function.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return lambda fd, mode, start, length: int(function(fd, mode, start, length))


# With 32-bit offsets the plain function takes other arguments: there we do without.
_fallocate = _load() if ctypes.sizeof(ctypes.c_long) == 8 else None


class Room:
    """The space of one file."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._taken = 0
        self._works = _fallocate is not None

    def need(self, end: int) -> None:
        """Make sure that the file can grow to `end` and leave the reserve; `OSError` if not."""
        if self._works and end + RESERVE_BYTES > self._taken:
            self._take(end + RESERVE_BYTES)

    def _take(self, end: int) -> None:
        length = max(end - self._taken, CHUNK_BYTES)
        if _fallocate is None or _fallocate(self._fd, _KEEP_SIZE, self._taken, length) == 0:
            self._taken += length
            return
        error = ctypes.get_errno()
        if error not in _FULL:
            # This file system cannot: writing itself will tell when the disk is full.
            self._works = False
            return
        raise OSError(error, os.strerror(error))
