"""Uploaded files on the local disk, each stored once under the SHA-256 of its content.

It knows no job and no database: a file is there for others only once its row is committed, by the
`record` that `receive` is given. The order is the promise: content synced, renamed into
place, folder synced – then the row. Whatever is interrupted before that leaves a temporary file,
which the next start removes.
"""

import errno
import hashlib
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, TypeVar

import anyio
from anyio import to_thread

from orchestrator.kernel.errors import StateUnavailable, StorageFull, StoreBusy
from orchestrator.kernel.failpoints import reached
from orchestrator.kernel.files import private_dir, sync_dir

T = TypeVar("T")

PIECE_BYTES: Final = 1024 * 1024
"""Written and hashed by one thread hop."""
SPARE_BYTES: Final = 256 * 1024 * 1024
"""Left free on the disk: the database needs room for what is already promised."""
CHECKS_AT_ONCE: Final = 2
"""Checking an archive is pure computing; more at once would only slow each other down."""
_INCOMING: Final = "incoming"
_OBJECTS: Final = "objects"
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@dataclass(frozen=True, slots=True)
class Received:
    """A file that is complete and in place."""

    sha256: str
    size: int


class FileStore:
    """A folder of immutable files."""

    def __init__(self, folder: Path) -> None:
        self._incoming = folder / _INCOMING
        self._objects = folder / _OBJECTS
        self._checks = anyio.CapacityLimiter(CHECKS_AT_ONCE)
        self.turn = anyio.Lock()
        """Held from a file's rename to its row, and by whoever removes files without a row: what is
        uploaded again while it is being forgotten must not lose its bytes."""

    def open(self) -> None:
        """Create the folders, and remove what an interrupted upload left."""
        private_dir(self._objects)
        for leftover in private_dir(self._incoming).iterdir():
            leftover.unlink()

    def path_of(self, sha256: str) -> Path:
        """Return where the content with that hash is, or would be."""
        return self._objects / sha256[:2] / sha256

    async def receive(
        self,
        pieces: AsyncIterator[bytes],
        record: Callable[[Received], Awaitable[T]],
        *,
        check: Callable[[Path], object] | None = None,
    ) -> T:
        """Store a stream, have it recorded, and return what `record` gives.

        `check` may refuse the complete file by raising. Nothing is left behind of what is refused,
        cut off or does not fit.
        """
        temporary = self._incoming / secrets.token_hex(16)
        try:
            with _trouble_told(), os.fdopen(_create(temporary), "wb") as file:
                received = await _save(pieces, file)
            if check is not None:
                await to_thread.run_sync(check, temporary, limiter=self._checks)
            async with self.turn:
                with _trouble_told():
                    await to_thread.run_sync(self._keep, temporary, received.sha256)
                return await record(received)
        finally:
            temporary.unlink(missing_ok=True)

    def _keep(self, temporary: Path, sha256: str) -> None:
        """Move a synced file to its name, in place of the same content if that is there already."""
        target = self.path_of(sha256)
        private_dir(target.parent)
        temporary.replace(target)
        reached("upload.renamed")
        sync_dir(target.parent)
        reached("upload.dir_synced")

    def names(self) -> list[str]:
        """Return the names of all files that are in place."""
        return [file.name for folder in self._objects.iterdir() for file in folder.iterdir()]

    def remove(self, sha256: str) -> None:
        """Remove a file that no row names any more."""
        self.path_of(sha256).unlink(missing_ok=True)


def _create(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)


async def _save(pieces: AsyncIterator[bytes], file: IO[bytes]) -> Received:
    """Write a stream to the disk for good, hashing on the way, a piece for each thread hop."""
    digest = hashlib.sha256()
    waiting = bytearray()
    size = 0
    async for piece in pieces:
        waiting += piece
        size += len(piece)
        if len(waiting) >= PIECE_BYTES:
            await to_thread.run_sync(_append, file, digest, bytes(waiting))
            waiting.clear()
    await to_thread.run_sync(_finish, file, digest, bytes(waiting))
    return Received(digest.hexdigest(), size)


def _append(file: IO[bytes], digest: "hashlib._Hash", data: bytes) -> None:
    room = os.fstatvfs(file.fileno())
    if room.f_bavail * room.f_frsize < SPARE_BYTES + len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    digest.update(data)
    file.write(data)


def _finish(file: IO[bytes], digest: "hashlib._Hash", data: bytes) -> None:
    _append(file, digest, data)
    file.flush()
    os.fsync(file.fileno())
    reached("upload.tmp_written")


@contextmanager
def _trouble_told() -> Iterator[None]:
    """Tell a client what the disk does not do: nothing of the file counts, it may be sent again."""
    try:
        yield
    except (OSError, StateUnavailable) as failure:
        error = failure.__cause__ if isinstance(failure, StateUnavailable) else failure
        number, reason = None, "its folder is not as it should be"
        if isinstance(error, OSError):
            number, reason = error.errno, error.strerror or str(error)
        if number in _NO_ROOM:
            raise StorageFull(
                "the disk of the server has no room for this file",
                hint="make room on the disk of the data directory, then send the file again",
            ) from failure
        raise StoreBusy(
            f"the server cannot store this file: {reason}",
            code="storage_failed",
            hint="check the disk and the permissions of the data directory, then send it again",
        ) from failure
