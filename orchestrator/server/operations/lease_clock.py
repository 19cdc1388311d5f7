"""The server's lease clock, as the database keeps it.

It is a row and not a variable, so that it stands still while no server runs and goes on where it
stood. A stamp taken between two ticks carries the time of the earlier one; the reaper makes up for
that (see `upkeep.py`), so a lease is never shorter than promised.
"""

from dataclasses import dataclass

from orchestrator.kernel.errors import invariant
from orchestrator.server.store.interface import Reader


@dataclass(frozen=True, slots=True)
class LeaseClock:
    """What it shows, and where it stood when this server started."""

    now: int
    floor: int


def read_lease_clock(reader: Reader) -> LeaseClock:
    """Return the clock's row."""
    row = reader.row("SELECT now_lease_us, floor_lease_us FROM lease_clock WHERE one = 1")
    invariant(row is not None, "the lease clock has its row from the first migration on")
    return LeaseClock(row["now_lease_us"], row["floor_lease_us"]) if row else LeaseClock(0, 0)
