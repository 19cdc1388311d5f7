"""A backup as a folder, or as one tar file: the same names with the same bytes in both.

They know no database. Whoever writes one gives names and files and is told their SHA-256; nothing
is at its place before all of it is on the disk, and nothing that is there is ever overwritten.
"""

import errno
import hashlib
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Final, Protocol

from orchestrator.kernel.errors import AlreadyExists, NotFound, Refused, StateUnavailable
from orchestrator.kernel.files import private_dir, sync_dir
from orchestrator.server.backup.manifest import CHECKSUM, MANIFEST, Entry, damaged

PIECE_BYTES: Final = 1024 * 1024
TAR: Final = ".tar"
Advance = Callable[[int], None]
Piece = tuple[str, IO[bytes]]
_NO_LINKS: Final = frozenset({errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP})
"""Another disk, or a file system without them: then it is copied."""


class Writer(Protocol):
    """A backup in the making."""

    def put(self, name: str, source: Path, size: int, advance: Advance) -> Entry:
        """Add the first `size` bytes of a file that never changes below them."""
        ...

    def link(self, name: str, source: Path, size: int, advance: Advance) -> Entry:
        """Add a file that never changes at all."""
        ...

    def finish(self) -> None:
        """Let it be at its place, for good."""
        ...

    def discard(self) -> None:
        """Leave nothing behind."""
        ...


def writer(target: Path) -> Writer:
    """Return what makes a backup at `target`: one file if it ends with `.tar`."""
    if target.exists() or target.is_symlink():
        raise AlreadyExists(
            f"{target} is there already", hint="nothing is overwritten: choose another name"
        )
    if not target.parent.is_dir():
        raise StateUnavailable(
            f"there is no folder {target.parent}", hint="make it, or choose another place"
        )
    return TarWriter(target) if target.suffix == TAR else FolderWriter(target)


def hashed(source: IO[bytes], size: int, advance: Advance, target: IO[bytes] | None = None) -> str:
    """Read `size` bytes, maybe copy them, and return their SHA-256; too few are an error."""
    digest = hashlib.sha256()
    left = size
    while left:
        piece = source.read(min(PIECE_BYTES, left))
        if not piece:
            raise EOFError
        digest.update(piece)
        if target is not None:
            target.write(piece)
        left -= len(piece)
        advance(len(piece))
    return digest.hexdigest()


def _create(path: Path) -> IO[bytes]:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    return os.fdopen(os.open(path, flags, 0o600), "wb")


def save(path: Path, source: IO[bytes], size: int, advance: Advance) -> str:
    """Copy `size` bytes into a new private file that is on the disk afterwards; return the hash."""
    with _create(path) as file:
        digest = hashed(source, size, advance, file)
        file.flush()
        os.fsync(file.fileno())
    return digest


class FolderWriter:
    """A backup as a folder."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._folder = target.with_name(f".{target.name}.partial")
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(mode=0o700)
        self._folders = {self._folder}

    def put(self, name: str, source: Path, size: int, advance: Advance) -> Entry:
        """Copy a file."""
        path = self._place(name)
        try:
            with source.open("rb") as file:
                return Entry(name=name, size=size, sha256=save(path, file, size, advance))
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def link(self, name: str, source: Path, size: int, advance: Advance) -> Entry:
        """Give a file a second name, where that is possible; it is read all the same."""
        path = self._place(name)
        try:
            os.link(source, path)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            return self.put(name, source, size, advance)
        try:
            with path.open("rb") as file:
                os.fsync(file.fileno())
                return Entry(name=name, size=size, sha256=hashed(file, size, advance))
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def _place(self, name: str) -> Path:
        path = self._folder / name
        for folder in (path.parent, *path.parent.parents):
            if folder in self._folders:
                break
            self._folders.add(folder)
        private_dir(path.parent)
        return path

    def finish(self) -> None:
        """Sync every folder, and rename the whole."""
        for folder in self._folders:
            sync_dir(folder)
        self._folder.rename(self._target)  # refused by the system if something came in between
        sync_dir(self._target.parent)

    def discard(self) -> None:
        """Remove what was made."""
        shutil.rmtree(self._folder, ignore_errors=True)


class TarWriter:
    """A backup as one file."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._path = target.with_name(f".{target.name}.partial")
        self._path.unlink(missing_ok=True)
        self._file = _create(self._path)
        self._tar = tarfile.TarFile(fileobj=self._file, mode="w", format=tarfile.PAX_FORMAT)

    def put(self, name: str, source: Path, size: int, advance: Advance) -> Entry:
        """Append a file; one that is too short is noticed before anything of it is written."""
        with source.open("rb") as file:
            if os.fstat(file.fileno()).st_size < size:
                raise EOFError
            about = tarfile.TarInfo(name)
            about.size, about.mode = size, 0o600
            reading = _Hashing(file, advance)
            self._tar.addfile(about, reading)
        return Entry(name=name, size=size, sha256=reading.digest.hexdigest())

    link = put

    def finish(self) -> None:
        """Sync it, and give it its name, which nobody may have taken."""
        self._tar.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        os.link(self._path, self._target)
        self._path.unlink()
        sync_dir(self._target.parent)

    def discard(self) -> None:
        """Remove what was made."""
        self._file.close()
        self._path.unlink(missing_ok=True)


class _Hashing:
    """A file whose bytes are hashed while `tarfile` reads them."""

    def __init__(self, file: IO[bytes], advance: Advance) -> None:
        self._file = file
        self._advance = advance
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """Read on."""
        data = self._file.read(size)
        self.digest.update(data)
        self._advance(len(data))
        return data


def pieces(source: Path) -> Iterator[tuple[str, IO[bytes], int]]:
    """Yield the files of a backup: name, content and size. Each is read before the next."""
    if source.is_dir():
        yield from _of_folder(source)
    elif source.is_file():
        yield from _of_tar(source)
    else:
        raise NotFound(f"there is no backup {source}", hint="give a folder or a .tar file")


def _of_folder(source: Path) -> Iterator[tuple[str, IO[bytes], int]]:
    if not (source / MANIFEST).is_file():
        raise _no_backup(source)
    for path in sorted(source.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise damaged(f"{path.relative_to(source)} is no plain file")
        if path.is_file():
            with path.open("rb") as file:
                name = path.relative_to(source).as_posix()
                yield name, file, os.fstat(file.fileno()).st_size


def _of_tar(source: Path) -> Iterator[tuple[str, IO[bytes], int]]:
    try:
        with tarfile.open(source, "r:") as tar:
            for about in tar:
                file = tar.extractfile(about) if about.isreg() else None
                if file is None:
                    raise damaged(f"{about.name!r} is no plain file")
                yield about.name, file, about.size
    except tarfile.ReadError as error:
        raise _no_backup(source) from error
    except (tarfile.TarError, EOFError) as error:
        raise damaged(f"{source} cannot be read: {error}") from error


def _no_backup(source: Path) -> Refused:
    return Refused(
        f"{source} is no backup of ours, or is damaged",
        hint="give what `orchestrator server backup` has made: a folder, or a .tar file",
        code="backup_damaged",
    )


def is_about(name: str) -> bool:
    """Tell whether a file of a backup only speaks of the others."""
    return name in {MANIFEST, CHECKSUM}


def size_of(source: Path) -> int:
    """Return about how much there is to read, for who watches."""
    with suppress(OSError):
        if source.is_dir():
            return sum(path.stat().st_size for path in source.rglob("*") if path.is_file())
        return source.stat().st_size
    return 0
