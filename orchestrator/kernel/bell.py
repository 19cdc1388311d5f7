"""A bell: wake whoever waits for something to have changed.

It carries nothing and remembers nothing. Who waits looks at the condition itself, before each wait
and after each ring, so no ring can be missed on one event loop.
"""

import math
from collections.abc import Callable

import anyio


class Bell:
    """Rung by whoever changed something."""

    def __init__(self) -> None:
        self._rung = anyio.Event()

    def ring(self) -> None:
        """Wake all who wait now."""
        self._rung.set()
        self._rung = anyio.Event()

    async def until(self, condition: Callable[[], bool], *, deadline: float = math.inf) -> None:
        """Return when the condition holds, or at a moment of the event loop's clock."""
        with anyio.CancelScope(deadline=deadline):
            while not condition():
                await self._rung.wait()

    async def next(self, *, deadline: float = math.inf) -> None:
        """Return when it rings the next time, or at a moment of the event loop's clock."""
        with anyio.CancelScope(deadline=deadline):
            await self._rung.wait()
