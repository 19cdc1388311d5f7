"""How large an archive may be, and what is said of one that was looked at.

The numbers repeat those of the wire, which this layer cannot see; a test holds the two together.
"""

from dataclasses import dataclass
from typing import Final

MIB: Final = 1024 * 1024
DIRECTORY_BYTES: Final = 32 * MIB
"""Room for 20,000 of the longest names; bounds what is held in memory at once."""


@dataclass(frozen=True, slots=True)
class ZipLimits:
    """What an archive may hold. The ratio counts only for entries above `ratio_free_bytes`.

    Small files of zeros compress a thousandfold and harm nobody.
    """

    entries: int = 20_000
    total_bytes: int = 2048 * MIB
    ratio: int = 200
    ratio_free_bytes: int = MIB
    name_bytes: int = 1024
    part_bytes: int = 255


DEFAULTS: Final = ZipLimits()


@dataclass(frozen=True, slots=True)
class ZipSummary:
    """What a checked archive holds: its files and folders as listed, and the bytes unpacked."""

    files: int
    folders: int
    total_bytes: int
