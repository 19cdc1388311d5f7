"""The reaper: lets the lease clock go on, and ends what has not been renewed."""

import logging
from functools import partial
from typing import Final

import anyio
from anyio.abc import TaskStatus

from orchestrator.kernel import logs
from orchestrator.kernel.clock import Clock
from orchestrator.kernel.errors import Unavailable
from orchestrator.protocol.limits import REAPER_S
from orchestrator.server.operations.upkeep import tick
from orchestrator.server.store.interface import Store
from orchestrator.server.upkeep.delay import Delay
from orchestrator.server.upkeep.pulse import Pulse

_LOGGER: Final = logging.getLogger(__name__)


async def reap(
    store: Store,
    clock: Clock,
    pulse: Pulse,
    *,
    period_s: float = REAPER_S,
    task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Tick until cancelled; say *started* after the first tick that was committed."""
    last = clock.monotonic()
    delay = Delay()
    while True:
        now = clock.monotonic()
        try:
            await _tick(store, elapsed_s=now - last)
        except Unavailable as error:
            # The lease clock stands still meanwhile, which costs nobody a lease.
            pulse.miss(error.problem_code)
            if delay.begins(error):
                logs.event(_LOGGER, logging.WARNING, "reaper.delayed", reason=error.message)
        else:
            if delay.ends():
                logs.event(_LOGGER, logging.INFO, "reaper.resumed")
            last = now
            pulse.beat(now=anyio.current_time())
            task_status.started()
            task_status = anyio.TASK_STATUS_IGNORED
        await anyio.sleep(period_s)


async def _tick(store: Store, *, elapsed_s: float) -> None:
    done = await store.write(partial(tick, elapsed_us=round(elapsed_s * 1_000_000)))
    lost = done.lost
    while done.more:
        done = await store.write(partial(tick, elapsed_us=0))
        lost += done.lost
    if lost:
        logs.event(_LOGGER, logging.WARNING, "attempts.lost", count=lost)
