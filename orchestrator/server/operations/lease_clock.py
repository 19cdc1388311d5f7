"""The server's lease clock, as the database keeps it.

It is a row and not a variable, so that it stands still while no server runs and goes on where it
stood. It moves only with the ticks of the upkeep.
"""

from dataclasses import dataclass
from typing import Final

from orchestrator.core.lease import latest_over
from orchestrator.kernel.errors import invariant
from orchestrator.server.store.interface import Reader

_SELECT: Final = "SELECT now_lease_us, floor_lease_us FROM lease_clock WHERE one = 1"


@dataclass(frozen=True, slots=True)
class LeaseClock:
    """What it shows, and where it stood when this server started."""

    now: int
    floor: int

    @property
    def over(self) -> int:
        """Return the latest stamp whose lease is over."""
        return latest_over(now=self.now, floor=self.floor)


def read_lease_clock(reader: Reader) -> LeaseClock:
    """Return the clock's row."""
    found = reader.tuples(_SELECT)
    invariant(len(found) == 1, "the lease clock has its row from the first migration on")
    return LeaseClock(*found[0])
