"""Where an archive's central directory lies, as the end of the file states it.

    [entry]… [central directory] [zip64 end, locator]? [end, comment]

The parts must lie next to each other and fill the file: what belongs to no part was prepended,
appended or hidden, and different programs would read different archives out of one file.
"""

import struct
from dataclasses import dataclass
from typing import Final

from orchestrator.kernel.ziparchive.problem import unsafe
from orchestrator.kernel.ziparchive.source import Source

_END: Final = struct.Struct("<4s4H2LH")
_END_SIGN: Final = b"PK\5\6"
_COMMENT_MAX: Final = 0xFFFF
_LOCATOR: Final = struct.Struct("<4sLQL")
_END64: Final = struct.Struct("<4sQ2H2L4Q")
_FULL16: Final = 0xFFFF
FULL32: Final = 0xFFFF_FFFF
"""Stands for "see the zip64 field" in any number of 32 bits."""


@dataclass(frozen=True, slots=True)
class End:
    """Entries, bytes and place of the central directory, and where what follows it begins."""

    count: int
    size: int
    start: int
    position: int


def find_end(source: Source) -> End:
    """Return the end that the file has, or refuse a file with none, two or a contradictory one."""
    length = min(source.size, _END.size + _COMMENT_MAX)
    offset = source.size - length
    tail = source.read(offset, length)
    places, at = [], tail.find(_END_SIGN)
    while at >= 0:
        fits = at + _END.size <= length
        if fits and at + _END.size + _END.unpack_from(tail, at)[7] == length:
            places.append(at)
        at = tail.find(_END_SIGN, at + 1)
    if not places:
        found = _END_SIGN in tail
        fault = "is cut off or has data after its end" if found else "is no zip file, or cut off"
        raise unsafe(fault, hint="send the whole file again")
    if len(places) > 1:
        raise unsafe("has two ends, so that programs would disagree about what it holds")
    _, disk, first_disk, here, count, size, start, _ = _END.unpack_from(tail, places[0])
    position = offset + places[0]
    if disk or first_disk:
        raise unsafe("is one volume of several", hint="make one archive that is not split")
    end = End(count, size, start, position)
    return _widened(source, end) if _has_locator(source, position) else _counted(end, here)


def _counted(end: End, here: int) -> End:
    if here != end.count:
        raise unsafe("counts its entries in two ways")
    if end.count == _FULL16 or FULL32 in {end.size, end.start}:
        raise unsafe("says that it is large (zip64) and lacks the record for it")
    return end


def _has_locator(source: Source, end: int) -> bool:
    start = end - _LOCATOR.size
    return start >= 0 and source.read(start, 4) == b"PK\6\7"


def _widened(source: Source, end: End) -> End:
    """Return the zip64 end; every number of the plain end must be the same, or say "see there"."""
    position = end.position - _LOCATOR.size
    _, disk, start64, disks = _LOCATOR.unpack(source.read(position, _LOCATOR.size))
    sign, length, _, _, disk64, first, here, count, size, start = _END64.unpack(
        source.read(start64, _END64.size)
    )
    if sign != b"PK\6\6" or start64 + 12 + length != position or length < _END64.size - 12:
        raise unsafe("has a zip64 record that is not where it should be")
    if disk or disk64 or first or disks > 1 or here != count:
        raise unsafe("is one volume of several", hint="make one archive that is not split")
    pairs = ((end.count, count, _FULL16), (end.size, size, FULL32), (end.start, start, FULL32))
    if any(plain not in {wide, full} for plain, wide, full in pairs):
        raise unsafe("has a zip64 record that contradicts its end")
    return End(count, size, start, start64)
