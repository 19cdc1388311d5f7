"""The list of an archive's entries, as its central directory states it.

It decides which entries are allowed by what is said of them, and reads none of their content.
"""

import stat
import struct
from dataclasses import dataclass
from typing import Final

from orchestrator.kernel.ziparchive.ending import FULL32, find_end
from orchestrator.kernel.ziparchive.limits import DIRECTORY_BYTES, ZipLimits, ZipSummary
from orchestrator.kernel.ziparchive.names import check_clashes, check_name
from orchestrator.kernel.ziparchive.problem import shown, unsafe
from orchestrator.kernel.ziparchive.source import Source

_ITEM: Final = struct.Struct("<4s6H3L5H2L")

STORED: Final = 0
DEFLATED: Final = 8
ENCRYPTED: Final = 1 << 0 | 1 << 6 | 1 << 13
DESCRIPTOR: Final = 1 << 3
UTF8: Final = 1 << 11
MEANING: Final = ENCRYPTED | DESCRIPTOR | UTF8
"""The flags that change how bytes are read; the others only tell how well they were packed."""
_EXECUTABLE: Final = 0o111


@dataclass(frozen=True, slots=True)
class Entry:
    """One file or folder; `mode` is what it is unpacked with."""

    name: str
    raw_name: bytes
    mode: int
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    start: int

    @property
    def is_folder(self) -> bool:
        """Tell whether it is a folder: its name ends with a slash."""
        return self.name.endswith("/")


@dataclass(frozen=True, slots=True)
class Directory:
    """All entries, and where the central directory begins."""

    entries: tuple[Entry, ...]
    start: int

    def summary(self) -> ZipSummary:
        """Return what there is to say of the whole."""
        folders = sum(entry.is_folder for entry in self.entries)
        total = sum(entry.size for entry in self.entries)
        return ZipSummary(len(self.entries) - folders, folders, total)


def read_directory(source: Source, limits: ZipLimits) -> Directory:
    """Return the entries, each with an allowed name, type and size, or refuse the archive."""
    end = find_end(source)
    if end.count > limits.entries:
        raise unsafe(
            f"has {end.count} entries; at most {limits.entries} are allowed",
            hint="leave out what the job does not need, or pack it into an inner archive",
        )
    if end.size > DIRECTORY_BYTES:
        raise unsafe(f"has a directory of {end.size} bytes; at most {DIRECTORY_BYTES} are allowed")
    if end.start + end.size != end.position:
        raise unsafe("has bytes that belong to no entry: something was put before or between them")
    entries = _read_items(source.read(end.start, end.size), end.count, limits)
    check_clashes([entry.name for entry in entries], limits)
    _check_sizes(entries, limits)
    return Directory(entries, end.start)


def _read_items(data: bytes, count: int, limits: ZipLimits) -> tuple[Entry, ...]:
    entries, at = [], 0
    for _ in range(count):
        if at + _ITEM.size > len(data) or not data.startswith(b"PK\1\2", at):
            raise unsafe("has a damaged directory")
        fields = _ITEM.unpack_from(data, at)
        name_end = at + _ITEM.size + fields[10]
        extra_end = name_end + fields[11]
        end = extra_end + fields[12]
        if end > len(data):
            raise unsafe("has a damaged directory")
        name, extra = data[at + _ITEM.size : name_end], data[name_end:extra_end]
        entries.append(_entry(fields, name, extra, limits))
        at = end
    if at != len(data):
        raise unsafe("has a directory that is longer than its entries")
    return tuple(entries)


def _entry(fields: tuple[int, ...], raw_name: bytes, extra: bytes, limits: ZipLimits) -> Entry:
    flags, method, crc = fields[3], fields[4], fields[7]
    name = _decoded(raw_name, flags)
    check_name(name, limits)
    if fields[13]:
        raise unsafe("is on another volume", entry=name, hint="make one archive that is not split")
    if flags & ENCRYPTED:
        raise unsafe("is encrypted", entry=name, hint="make the archive without a password")
    if method not in {STORED, DEFLATED}:
        raise unsafe(f"is packed by method {method}", entry=name, hint="use deflate, zip's default")
    size, packed, start = widened(extra, name, fields[9], fields[8], fields[16])
    mode = _mode(name, fields[15] >> 16)
    if method == STORED and size != packed:
        raise unsafe("is stored with two different sizes", entry=name)
    if name.endswith("/") and size:
        raise unsafe("is a folder with content", entry=name)
    return Entry(name, raw_name, mode, flags & MEANING, method, crc, packed, size, start)


def _decoded(raw: bytes, flags: int) -> str:
    try:
        return raw.decode("utf-8" if flags & UTF8 else "ascii")
    except UnicodeDecodeError:
        name = raw.decode("ascii", "backslashreplace")
        raise unsafe("has a name that is not marked as UTF-8, or is not", entry=name) from None


def widened(extra: bytes, name: str, *numbers: int) -> list[int]:
    """Return the numbers of a header, each that says "see there" taken from the zip64 field."""
    if FULL32 not in numbers:
        return list(numbers)
    field, at = None, 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind == 1 and field is None:
            field = extra[at + 4 : at + 4 + length]
        at += 4 + length
    values = (
        list(struct.unpack(f"<{len(field) // 8}Q", field[: len(field) // 8 * 8])) if field else []
    )
    if len(values) < numbers.count(FULL32):
        raise unsafe("says that it is large (zip64) and lacks the field for it", entry=name)
    return [values.pop(0) if number == FULL32 else number for number in numbers]


def _mode(name: str, unix: int) -> int:
    """Return what it is unpacked with: a program or not; nothing else of the mode is taken over."""
    wanted = stat.S_IFDIR if name.endswith("/") else stat.S_IFREG
    kind = stat.S_IFMT(unix)
    if kind not in {0, wanted}:
        what = {
            stat.S_IFLNK: "a symbolic link",
            stat.S_IFDIR: "a folder without the slash of one",
            stat.S_IFREG: "a file with the slash of a folder",
            stat.S_IFIFO: "a pipe",
            stat.S_IFSOCK: "a socket",
        }.get(kind, "a device")
        raise unsafe(f"is {what}", entry=name, hint="only files and folders are taken")
    return 0o755 if wanted == stat.S_IFDIR or unix & _EXECUTABLE else 0o644


def _check_sizes(entries: tuple[Entry, ...], limits: ZipLimits) -> None:
    total = 0
    for entry in entries:
        total += entry.size
        if entry.size > limits.ratio_free_bytes and entry.size > limits.ratio * entry.packed:
            raise unsafe(
                f"unpacks from {entry.packed} to {entry.size} bytes, over {limits.ratio} times",
                entry=entry.name,
                hint="this looks like a zip bomb; let the job make such a file itself",
            )
        if total > limits.total_bytes:
            raise unsafe(
                f"unpacks to more than {limits.total_bytes} bytes, at {shown(entry.name)}",
                hint="leave out what the job does not need",
            )
