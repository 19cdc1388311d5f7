"""The server's lease clock, as the database keeps it.

It is a row and not a variable, so that it stands still while no server runs and goes on where it
stood. A stamp taken between two ticks carries the time of the earlier one; the reaper makes up for
that (see `upkeep.py`), so a lease is never shorter than promised.
"""

from dataclasses import dataclass
from typing import Final

from orchestrator.kernel.errors import invariant
from orchestrator.server.store.interface import Reader

_SELECT: Final = """
    SELECT now_lease_us, seen_lease_us, floor_lease_us FROM lease_clock WHERE one = 1
"""


@dataclass(frozen=True, slots=True)
class LeaseClock:
    """What it shows, what it showed at the tick before, and where it stood at the start."""

    now: int
    seen: int
    floor: int


def read_lease_clock(reader: Reader) -> LeaseClock:
    """Return the clock's row."""
    found = reader.tuples(_SELECT)
    invariant(len(found) == 1, "the lease clock has its row from the first migration on")
    return LeaseClock(*found[0])
