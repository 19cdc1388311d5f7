"""Room on the disk that is kept back, so that a full disk stops new work and not what came of old.

It is a file that nobody reads. When the disk is full the file is removed, and its room is for what
cannot wait: ends, reports, heartbeats, cancels. Everything else is refused until there is room for
the file again. It knows no job; who may not wait is in the table of routes.
"""

import contextlib
import logging
import os
import threading
from pathlib import Path
from typing import Final

import anyio
from anyio import to_thread

from orchestrator.kernel import logs
from orchestrator.kernel.errors import StorageFull
from orchestrator.kernel.files import sync_dir
from orchestrator.protocol.limits import REAPER_S

_BLOCK: Final = 512
"""What `st_blocks` counts, on every disk."""
_LOGGER: Final = logging.getLogger(__name__)


class Reserve:
    """The file, and whether it is there.

    It is given up below a quarter of its size, and taken again only at twice its size, so that its
    own room never makes it come and go.
    """

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self._size = size
        self._guard = threading.Lock()
        self._is_held = False
        self._was_told = False

    @property
    def is_held(self) -> bool:
        """Tell whether there is room for everybody."""
        return self._is_held

    def open(self) -> None:
        """Find the file of an earlier run, or make it; say so when there is no room for it."""
        with self._guard, contextlib.suppress(FileNotFoundError):
            found = self._path.stat()
            self._is_held = min(found.st_size, found.st_blocks * _BLOCK) >= self._size
        self.look()

    def look(self) -> None:
        """Give the room up, or take it again, as the disk is now."""
        with self._guard, contextlib.suppress(OSError):  # who writes meets it, and is told
            free = self._free()
            if free < self._size // 4:
                self._give_up(free)
            elif not self._is_held and free >= 2 * self._size:
                self._take()
            elif not self._is_held:
                self._tell(free)

    def release(self) -> bool:
        """Give the room up at once; tell whether there was any. From any thread."""
        with self._guard, contextlib.suppress(OSError):
            was_held = self._is_held
            self._give_up(self._free())
            return was_held
        return False

    def require_half(self) -> None:
        """Refuse what may take a lot but not all: half of the room is for what is small."""
        with contextlib.suppress(OSError):
            if not self._is_held and self._free() < self._size // 2:
                raise StorageFull("the disk of the server is full: the output was not stored")

    async def run(self) -> None:
        """Look now and then, until cancelled."""
        while True:
            await anyio.sleep(REAPER_S)
            await to_thread.run_sync(self.look)

    def _free(self) -> int:
        room = os.statvfs(self._path.parent)
        return room.f_bavail * room.f_frsize

    def _give_up(self, free: int) -> None:
        self._is_held = False
        self._path.unlink(missing_ok=True)
        self._tell(free)

    def _tell(self, free: int) -> None:
        if not self._was_told:
            self._was_told = True
            needs = 2 * self._size
            logs.event(_LOGGER, logging.ERROR, "reserve.released", free_bytes=free, needs=needs)

    def _take(self) -> None:
        self._path.unlink(missing_ok=True)
        try:
            self._fill()
        except OSError:
            self._path.unlink(missing_ok=True)  # somebody was faster; there will be another look
            raise
        self._is_held = True
        if self._was_told:
            self._was_told = False
            logs.event(_LOGGER, logging.INFO, "reserve.restored", bytes=self._size)

    def _fill(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self._path, flags, 0o600)
        try:
            _allocate(descriptor, self._size)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        sync_dir(self._path.parent)


def _allocate(descriptor: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
        return
    piece = bytes(1024 * 1024)
    for at in range(0, size, len(piece)):
        os.pwrite(descriptor, piece[: size - at], at)
