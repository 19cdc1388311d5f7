"""Faults on purpose: a worker that dies in the middle of a job.

It is off unless somebody asked for it by name. The death is the real one, SIGKILL, so nothing of
ours gets a chance to be tidy; whoever started the worker starts it again.
"""

import hashlib
import logging
import os
import signal
from typing import Final

import anyio

from orchestrator.kernel import logs
from worker.attempts import Attempts

LOGGER: Final = logging.getLogger(__name__)
CYCLE_S: Final = 1.0
CHANCE: Final = 0.1


async def die_after_a_start(attempts: Attempts, delay_s: float) -> None:
    """Kill this process `delay_s` after it took a job. One that was found here does not count."""
    await attempts.changed.until(lambda: attempts.granted > 0)
    await anyio.sleep(delay_s)
    logs.event(LOGGER, logging.WARNING, "fault.injected", after_s=delay_s)
    os.kill(os.getpid(), signal.SIGKILL)


def life_s(seed: str, number: int) -> float:
    """Return how long the worker lives that is started as that number, with a chance per cycle.

    The same seed gives the same lives, so that what went wrong once can be seen again.
    """
    digest = hashlib.sha256(f"{seed}:{number}".encode()).digest()
    cycles = 1
    for place in range(0, len(digest), 2):
        if int.from_bytes(digest[place : place + 2], "big") < CHANCE * 65_536:
            break
        cycles += 1
    return cycles * CYCLE_S
