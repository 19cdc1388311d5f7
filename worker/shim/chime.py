"""When to tell the worker that the segment has grown: soon, and not too often.

It knows nothing of what was written. Each bell costs the worker a wake-up, so a short job rings
once, at its end, and a flood of output rings at a steady pace.
"""

import math
from typing import Final

from worker.shim import layout
from worker.shim.line import Line

DELAY_S: Final = 0.003
"""What ends within this is told by the bell of its end."""
PAUSE_S: Final = 0.01
"""A hundred wake-ups a second show everything soon enough."""


class Chime:
    """Rings the bells of one attempt."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._earliest = 0.0
        self.at = math.inf
        """When it is to ring next."""

    def ask(self, now: float) -> None:
        """Have it ring soon."""
        if self.at == math.inf and not self._line.gone:
            self.at = max(now + DELAY_S, self._earliest)

    def ring_if_due(self, now: float) -> None:
        """Ring when the time has come."""
        if now >= self.at:
            self._line.say(layout.BELL)
            self.at = math.inf
            self._earliest = now + PAUSE_S
