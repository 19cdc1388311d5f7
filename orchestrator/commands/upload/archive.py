"""A folder as a zip file: the same folder always gives the same bytes.

It sends nothing. Paths are sorted, times are left out and modes are 0755 or 0644, so that an
unchanged folder has an unchanged SHA-256 and is stored once. Only files and folders travel: a link
within the folder becomes a copy of what it leads to. Any other link (out of the folder, nowhere, or
back to where it lies) stays at home and is named, because on the worker it would lead elsewhere.
What stays at home does so by every way: a link to it is left out and named as well.
"""

import os
import stat
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from orchestrator.commands.upload.ignore import Ignore
from orchestrator.kernel.errors import RequestInvalid
from orchestrator.protocol import limits

IGNORE_FILE: Final = ".orchestratorignore"
AT_HOME: Final = (".git", ".hg", ".svn", ".venv", "__pycache__")
"""What stays at home unless somebody says otherwise (`!.git`): histories are large and hold what
was removed on purpose, and the rest works only where it was made."""
_PIECE: Final = 256 * 1024
_SAFE_RATIO: Final = limits.ZIP_RATIO // 2
"""Packed tighter than this, a large file would look like a bomb: it travels unpacked."""
_WAY_OUT: Final = f"leave it out with --exclude, or with a line in {IGNORE_FILE}"


@dataclass(frozen=True, slots=True)
class Item:
    """A file or folder to pack: its name in the archive, and where its content is."""

    name: str
    source: Path
    folder: bool = False
    executable: bool = False
    size: int = 0


@dataclass(frozen=True, slots=True)
class Content:
    """What a folder holds that goes along, sorted by name."""

    items: tuple[Item, ...]
    left_out: tuple[str, ...] = ()
    """Links that do not go along, each with where it leads."""

    @property
    def files(self) -> int:
        """Return how many files there are."""
        return sum(not item.folder for item in self.items)

    @property
    def size(self) -> int:
        """Return the bytes of all files."""
        return sum(item.size for item in self.items)


def look(root: Path, excluded: Sequence[str]) -> Content:
    """Return what goes along, or refuse what cannot; nothing is read but names and sizes."""
    walk = _Walk(root.resolve(), Ignore([*AT_HOME, *_ignore_lines(root), *excluded]))
    items: list[Item] = []
    total = 0
    for item in walk.items("", (walk.root,)):
        items.append(item)
        total += item.size
        if len(items) > limits.ZIP_ENTRIES:
            raise _too_much(root, f"more than {limits.ZIP_ENTRIES} files and folders")
        if total > limits.ZIP_TOTAL_BYTES:
            raise _too_much(root, f"more than {limits.ZIP_TOTAL_BYTES} bytes")
    ordered = sorted(items, key=lambda item: item.name)
    content = Content(tuple(ordered), tuple(sorted(walk.left_out)))
    if not content.files:
        raise RequestInvalid(
            f"there is nothing to upload in {root}",
            hint=f"the folder is empty, or --exclude and {IGNORE_FILE} leave nothing of it",
        )
    return content


def _too_much(root: Path, what: str) -> RequestInvalid:
    return RequestInvalid(
        f"{root} holds {what}, the most an upload may hold", hint=f"is it the right one? {_WAY_OUT}"
    )


def _ignore_lines(root: Path) -> list[str]:
    path = root / IGNORE_FILE
    try:
        return path.read_text().splitlines()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise RequestInvalid(f"{path} cannot be read: {error}") from None


class _Walk:
    """One look at a folder, and the links that were met and left out."""

    def __init__(self, root: Path, ignore: Ignore) -> None:
        self.root = root
        self._ignore = ignore
        self.left_out: list[str] = []

    def items(self, below: str, way: tuple[Path, ...]) -> Iterator[Item]:
        """Yield what lies in a folder; `way` are the real folders through which it was reached."""
        try:
            with os.scandir(self.root / below) as entries:
                found = list(entries)
        except OSError as error:
            raise _unreadable(self.root / below, error) from None
        for entry in found:
            name = below + entry.name
            real = self._behind(name) if entry.is_symlink() else way[-1] / entry.name
            is_folder = _is_folder(real) if entry.is_symlink() else entry.is_dir()
            if self._ignore.excludes(name, folder=is_folder):
                continue
            _check_name(name)
            if entry.is_symlink() and not self._goes_along(real, way, folder=is_folder):
                self.left_out.append(f"{name} -> {self._leads_to(name)}")
            elif real != self.root / name and self._stays_at_home(real, folder=is_folder):
                continue  # reached through a link to a folder around it
            elif is_folder:
                yield Item(f"{name}/", real, folder=True)
                yield from self.items(f"{name}/", (*way, real))
            else:
                yield _file(real, name)

    def _behind(self, name: str) -> Path:
        """Return what a link leads to in the end, or the link itself when that is nowhere."""
        link = self.root / name
        try:
            return link.resolve(strict=True)
        except (OSError, RuntimeError):
            return link

    def _leads_to(self, name: str) -> str:
        link = self.root / name
        try:
            return str(link.readlink())
        except OSError as error:
            raise _unreadable(link, error) from None

    def _goes_along(self, real: Path, way: tuple[Path, ...], *, folder: bool) -> bool:
        """Tell whether a link leads to something that goes along, and not back to itself."""
        return (
            real.is_relative_to(self.root)
            and not os.path.islink(real)  # noqa: PTH114 - `Path.is_symlink` raises what this answers
            and real not in way
            and not self._stays_at_home(real, folder=folder)
        )

    def _stays_at_home(self, real: Path, *, folder: bool) -> bool:
        """Tell whether the rules leave out what lies there, by the name that it has there.

        Asked by that name alone, a link would be a way around every rule: `copy -> .git`.
        """
        path = real.relative_to(self.root)
        around = [str(parent) for parent in path.parents if parent.name]
        return self._ignore.excludes(path.as_posix(), folder=folder) or any(
            self._ignore.excludes(parent, folder=True) for parent in around
        )


def _is_folder(path: Path) -> bool:
    """Tell whether a folder is there; what one may not look at is none."""
    try:
        return path.is_dir()
    except OSError:
        return False


def _check_name(name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise RequestInvalid(
            f"the name {name!a} is not UTF-8", hint=f"rename it, or {_WAY_OUT}"
        ) from None


def _file(source: Path, name: str) -> Item:
    try:
        entry = source.stat(follow_symlinks=False)
    except OSError as error:
        raise _unreadable(source, error) from None
    if not stat.S_ISREG(entry.st_mode):
        raise RequestInvalid(f"{source} is neither a file nor a folder", hint=_WAY_OUT)
    executable = bool(entry.st_mode & stat.S_IXUSR)
    return Item(name, source, executable=executable, size=entry.st_size)


def _unreadable(path: Path, error: OSError) -> RequestInvalid:
    return RequestInvalid(f"{path} cannot be read: {error.strerror}", hint=_WAY_OUT)


def pack(content: Content, into: IO[bytes]) -> Iterator[int]:
    """Write the archive, and yield the bytes of content packed since the last time."""
    with zipfile.ZipFile(into, "w") as archive:
        for item in content.items:
            if item.folder:
                archive.writestr(_info(item), b"")
            else:
                yield from _pack_file(archive, item)


def _pack_file(archive: zipfile.ZipFile, item: Item) -> Iterator[int]:
    try:
        with item.source.open("rb") as file:
            info = _info(item)
            info.file_size = os.fstat(file.fileno()).st_size
            info.compress_type = _method(file, info.file_size)
            with archive.open(info, "w") as packed:
                while piece := file.read(_PIECE):
                    packed.write(piece)
                    yield len(piece)
    except OSError as error:
        if error.filename is None:
            raise  # the temporary file's trouble, not this one's
        raise _unreadable(item.source, error) from None


def _info(item: Item) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(item.name)  # its time is the format's first: 1980
    info.create_system = 3  # Unix, whatever this is: the mode is meant
    open_to_all = item.folder or item.executable
    kind = stat.S_IFDIR if item.folder else stat.S_IFREG
    info.external_attr = (kind | (0o755 if open_to_all else 0o644)) << 16 | (0x10 * item.folder)
    return info


def _method(file: IO[bytes], size: int) -> int:
    """Return how to store a file: one that would look like a bomb goes along as it is.

    The look costs little, because it ends as soon as enough has been packed to be sure.
    """
    if size <= limits.ZIP_RATIO_FREE_BYTES:
        return zipfile.ZIP_DEFLATED
    packer = zlib.compressobj()
    packed = 0
    while packed * _SAFE_RATIO <= size:
        piece = file.read(_PIECE)
        packed += len(packer.compress(piece) if piece else packer.flush())
        if not piece:
            break
    file.seek(0)
    return zipfile.ZIP_DEFLATED if packed * _SAFE_RATIO > size else zipfile.ZIP_STORED
