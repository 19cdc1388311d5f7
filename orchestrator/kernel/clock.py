"""The two clocks of a machine, handed in so that tests can move them.

Wall time is for people and may jump. Monotonic time is for waiting and never does. Pure code sees
neither: it is given `now`.
"""

import time
from typing import Protocol


class Clock(Protocol):
    """What a shell asks for the time."""

    def now(self) -> float:
        """Return wall time, in seconds since the epoch."""
        ...

    def monotonic(self) -> float:
        """Return seconds since some fixed moment; it never goes back."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> float:
        """Return `time.time()`."""
        return time.time()

    def monotonic(self) -> float:
        """Return `time.monotonic()`."""
        return time.monotonic()
