"""A turn at the data's files, for whoever removes some of them while somebody waits for that."""

from typing import Final

import anyio

from orchestrator.kernel.errors import AlreadyRunning
from orchestrator.kernel.files import Lock

PATIENCE_S: Final = 5.0
"""Housekeeping seldom takes longer; a backup may, and then who waits is told of it."""
_LOOK_S: Final = 0.05


def patience() -> float:
    """Return until when somebody waits who begins to wait now."""
    return anyio.current_time() + PATIENCE_S


async def turn_at(lock: Lock, *, until: float) -> Lock:
    """Take the lock of the data, a little later if somebody has it now."""
    while True:
        try:
            return lock.take("a backup, or housekeeping,")
        except AlreadyRunning:
            if anyio.current_time() >= until:
                raise
            await anyio.sleep(_LOOK_S)
