"""The bytes of one entry: where they lie, and that they are what the directory says.

Local headers are compared with the directory and must follow each other without gap or overlap;
content is inflated only up to its declared size and one byte, so that a lie costs nothing.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from orchestrator.kernel.ziparchive.directory import (
    DESCRIPTOR,
    MEANING,
    STORED,
    Directory,
    Entry,
    widened,
)
from orchestrator.kernel.ziparchive.problem import unsafe
from orchestrator.kernel.ziparchive.source import Source

_LOCAL: Final = struct.Struct("<4s5H3L2H")
_DESCRIPTOR_SIGN: Final = b"PK\7\x08"
_DESCRIPTOR_MAX: Final = 24
_PIECE: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class Placed:
    """An entry, and where its packed bytes begin."""

    entry: Entry
    data: int


def place(source: Source, directory: Directory) -> tuple[Placed, ...]:
    """Return where every entry's bytes lie, or refuse an archive whose parts do not fit.

    The order is the directory's; the check goes by position.
    """
    ordered = sorted(directory.entries, key=lambda entry: entry.start)
    starts = [*(entry.start for entry in ordered), directory.start]
    if starts[0] != 0:
        raise unsafe("has bytes before its first entry", hint="send the archive alone")
    found: dict[int, Placed] = {}
    for entry, (start, limit) in zip(ordered, pairwise(starts), strict=True):
        found[start] = _placed(source, entry, limit)
    return tuple(found[entry.start] for entry in directory.entries)


def _placed(source: Source, entry: Entry, limit: int) -> Placed:
    if entry.start + _LOCAL.size > limit:
        raise unsafe("overlaps another entry", entry=entry.name)
    sign, _, flags, method, _, _, crc, packed, size, name, extra = _LOCAL.unpack(
        source.read(entry.start, _LOCAL.size)
    )
    data = entry.start + _LOCAL.size + name + extra
    if sign != b"PK\3\4":
        raise unsafe("does not begin where the directory says", entry=entry.name)
    if data + entry.packed > limit:
        raise unsafe("overlaps another entry, or is truncated", entry=entry.name)
    rest = source.read(entry.start + _LOCAL.size, name + extra)
    size, packed = widened(rest[name:], entry.name, size, packed)
    stated = (crc, packed, size)
    known = (entry.crc, entry.packed, entry.size)
    later = bool(flags & DESCRIPTOR)
    same = (rest[:name], flags & MEANING, method)
    if same != (entry.raw_name, entry.flags, entry.method):
        raise unsafe("has two headers that contradict each other", entry=entry.name)
    if stated != known and not (later and stated == (0, 0, 0)):
        raise unsafe("has two headers that contradict each other", entry=entry.name)
    _check_end(source, entry, data + entry.packed, limit)
    return Placed(entry, data)


def _check_end(source: Source, entry: Entry, end: int, limit: int) -> None:
    """Refuse what lies between this entry and the next, except its data descriptor."""
    allowed = {b""}
    if entry.flags & DESCRIPTOR:
        known = (entry.crc, entry.packed, entry.size)
        plain = {struct.pack("<3L", *known), struct.pack("<L2Q", *known)}
        allowed = plain | {_DESCRIPTOR_SIGN + form for form in plain}
    rest = limit - end
    if rest > _DESCRIPTOR_MAX or source.read(end, rest) not in allowed:
        raise unsafe("is followed by bytes that belong to no entry", entry=entry.name)


def unpacked(source: Source, placed: Placed) -> Iterator[bytes]:
    """Yield an entry's content in pieces; refuse it when size or checksum are not as declared."""
    entry = placed.entry
    pieces = _stored(source, placed) if entry.method == STORED else _inflated(source, placed)
    crc, size = 0, 0
    for piece in pieces:
        size += len(piece)
        if size > entry.size:
            raise unsafe(
                f"is larger than the {entry.size} bytes that it declares", entry=entry.name
            )
        crc = zlib.crc32(piece, crc)
        yield piece
    if size != entry.size:
        raise unsafe(f"is smaller than the {entry.size} bytes that it declares", entry=entry.name)
    if crc != entry.crc:
        raise unsafe("is damaged: its checksum is wrong", entry=entry.name)


def _stored(source: Source, placed: Placed) -> Iterator[bytes]:
    at, end = placed.data, placed.data + placed.entry.packed
    while at < end:
        piece = source.read(at, min(_PIECE, end - at))
        yield piece
        at += len(piece)


def _inflated(source: Source, placed: Placed) -> Iterator[bytes]:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    name = placed.entry.name
    try:
        for packed in _stored(source, placed):
            if inflater.eof:
                raise unsafe("has bytes behind its packed content", entry=name)
            yield inflater.decompress(packed, _PIECE)
            while inflater.unconsumed_tail:
                yield inflater.decompress(inflater.unconsumed_tail, _PIECE)
        yield inflater.flush()  # what is left of the last match: some hundred bytes at most
    except zlib.error:
        raise unsafe("is damaged: it cannot be inflated", entry=name) from None
    if not inflater.eof:
        raise unsafe("is damaged: its packed content is cut off", entry=name)
    if inflater.unused_data:
        raise unsafe("has bytes behind its packed content", entry=name)
