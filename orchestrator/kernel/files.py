"""Private files and folders, written so that a crash leaves the old content or the new.

It knows nothing of what is in them. Everything here is readable by its owner alone, because these
are keys, tokens and databases, and everything is refused that somebody else could have put there.
"""

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from orchestrator.kernel.errors import AlreadyRunning, Forbidden, StateUnavailable

_TEMPORARY = ".new-"
_PID_BYTES = 32


def sync_dir(path: Path) -> None:
    """Make the names in a folder durable: a rename is not, until its folder is synced."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner reads; after a crash it holds the old text or the new."""
    temporary = path.with_name(f"{_TEMPORARY}{path.name}.{os.getpid()}")
    try:
        # Left over by a process that had this pid and died here: nobody else writes this name.
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_dir(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise StateUnavailable(
            f"cannot write {path}: {error.strerror}",
            hint="check that the folder exists, is writable and has room",
        ) from error


@contextlib.contextmanager
def undone_if_empty(path: Path) -> Iterator[None]:
    """Remove a folder that a block has made if the block fails and nothing is in it.

    So are the folders above that were made for it.
    """
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            for folder in made:
                folder.rmdir()
        raise


def private_dir(path: Path, *, durable: bool = True) -> Path:
    """Return the real path of a folder that is ours alone, creating it with mode 0700 if needed.

    Its name is durable from then on, as is what is synced in it; unless it may go with the power,
    because nothing in it is needed afterwards. Then nobody waits for the disk.

    A folder that others may enter is tightened only while it is empty: one with content may be
    `/tmp` or somebody's home, and locking others out of that is not ours to decide.
    """
    try:
        _create(path, durable=durable)
        real = path.resolve(strict=True)
        # Each time: that the folder is there does not mean that the crash came after its sync.
        if durable:
            _sync_name(real)
        entry = real.stat()
        if not stat.S_ISDIR(entry.st_mode):
            raise StateUnavailable(f"{path} is not a folder", hint="choose another path")
        if entry.st_uid != os.geteuid():
            raise Forbidden(
                f"{path} belongs to user {entry.st_uid}, and this runs as {os.geteuid()}",
                hint="run as its owner, or choose another folder",
            )
        if entry.st_mode & 0o077:
            _tighten(real)
    except OSError as error:
        raise StateUnavailable(
            f"cannot create or open the folder {path}: {error.strerror}",
            hint="check its parents' permissions, or choose another folder",
        ) from error
    return real


def _create(path: Path, *, durable: bool) -> None:
    """Create a folder and its missing parents, all 0700: `mkdir(parents=True)` opens parents."""
    if path.is_dir():
        return
    if path.parent != path:
        _create(path.parent, durable=durable)
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
        if durable:
            _sync_name(path)


def _sync_name(path: Path) -> None:
    """Make a folder's name durable. A parent that may not be read, its owner has to care for."""
    with contextlib.suppress(PermissionError):
        sync_dir(path.parent)


def _tighten(path: Path) -> None:
    """Take a still empty folder's permissions from others, or refuse."""
    if any(path.iterdir()):
        raise Forbidden(
            f"{path} is open to other users",
            hint=f"if it is meant for this, close it with: chmod 700 {path}",
        )
    path.chmod(0o700)


class Lock:
    """A claim on a file that ends with the process, however the process ends.

    It is an flock: the kernel releases it, so there is no stale lock to clean up, and the pid in
    the file is only for people.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def take(self, what: str, *, wait: bool = False) -> Self:
        """Take it, or raise `AlreadyRunning`, which says that `what` runs and names its pid.

        With `wait` it is waited for, so only what never lasts may hold it.
        """
        descriptor = self._opened()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError as error:
            holder = os.pread(descriptor, _PID_BYTES, 0).decode(errors="replace").strip()
            since = _written(descriptor)
            os.close(descriptor)
            if not isinstance(error, BlockingIOError):
                raise StateUnavailable(f"cannot lock {self.path}: {error.strerror}") from error
            raise AlreadyRunning(
                f"{what} already runs (pid {holder or 'unknown'}{since}) and holds {self.path}",
                hint="stop that one first, or give this one a folder of its own",
            ) from error
        if os.fstat(descriptor).st_nlink == 0:
            # Its last holder removed it, between our looking for it and locking it.
            os.close(descriptor)
            return self.take(what, wait=wait)
        # A full disk has no room for it, and what it says is only for people.
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor
        return self

    def _opened(self) -> int:
        try:
            return os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise StateUnavailable(f"cannot open {self.path}: {error.strerror}") from error

    def remove(self) -> None:
        """Take the file away, too, while it is held: nothing is left of a start that failed."""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                self.path.unlink()

    def release(self) -> None:
        """Give it up. The file stays, unless it was removed while we held it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


def _written(descriptor: int) -> str:
    """Return since when a lock is held: who takes it writes into it."""
    try:
        moment = datetime.fromtimestamp(os.fstat(descriptor).st_mtime, UTC)
    except OSError:
        return ""
    return f", since {moment:%Y-%m-%d %H:%M:%S} UTC"
