"""A folder as a zip file: the same folder always gives the same bytes.

It sends nothing. Paths are sorted, times are left out and modes are 0755 or 0644, so that an
unchanged folder has an unchanged SHA-256 and is stored once. Only files and folders travel: a link
to a file of the folder becomes a copy, and any other link is refused by name, because on the
worker it would point somewhere else.
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
    ignore = Ignore([*_ignore_lines(root), *excluded])
    items: list[Item] = []
    total = 0
    for item in _walk(root.resolve(), "", ignore):
        items.append(item)
        total += item.size
        if len(items) > limits.ZIP_ENTRIES:
            raise _too_much(root, f"more than {limits.ZIP_ENTRIES} files and folders")
        if total > limits.ZIP_TOTAL_BYTES:
            raise _too_much(root, f"more than {limits.ZIP_TOTAL_BYTES} bytes")
    content = Content(tuple(sorted(items, key=lambda item: item.name)))
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


def _walk(root: Path, below: str, ignore: Ignore) -> Iterator[Item]:
    try:
        with os.scandir(root / below) as entries:
            found = list(entries)
    except OSError as error:
        raise _unreadable(root / below, error) from None
    for entry in found:
        name = below + entry.name
        is_folder = entry.is_dir(follow_symlinks=False)
        if ignore.excludes(name, folder=is_folder):
            continue
        _check_name(name)
        if is_folder:
            yield Item(f"{name}/", root / name, folder=True)
            yield from _walk(root, f"{name}/", ignore)
        else:
            yield _file(root, name, is_link=entry.is_symlink())


def _check_name(name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise RequestInvalid(
            f"the name {name!a} is not UTF-8", hint=f"rename it, or {_WAY_OUT}"
        ) from None


def _file(root: Path, name: str, *, is_link: bool) -> Item:
    try:
        source = _behind(root, name) if is_link else root / name
        entry = source.stat(follow_symlinks=False)
    except OSError as error:
        raise _unreadable(root / name, error) from None
    if not stat.S_ISREG(entry.st_mode):
        raise RequestInvalid(f"{root / name} is neither a file nor a folder", hint=_WAY_OUT)
    executable = bool(entry.st_mode & stat.S_IXUSR)
    return Item(name, source, executable=executable, size=entry.st_size)


def _behind(root: Path, name: str) -> Path:
    """Return the file that a link leads to, if it is one of the same folder."""
    link = root / name
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError):
        fault = "is a link that leads nowhere"
    else:
        if target.is_file() and target.is_relative_to(root):
            return target
        outside = not target.is_relative_to(root)
        fault = "is a link out of the folder" if outside else "is a link to a folder"
    raise RequestInvalid(
        f"{link} {fault} ({link.readlink()})",
        hint=f"replace it by what it leads to, or {_WAY_OUT}",
    )


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
