"""Letting schedules fire: the shell that asks, one schedule after the other.

Each is a transaction of its own, so one whose job is refused does not hold up its neighbours.
"""

import logging
from functools import partial
from typing import Final

from orchestrator.kernel import logs
from orchestrator.kernel.clock import Clock
from orchestrator.kernel.errors import Mistaken, Refused
from orchestrator.kernel.failpoints import reached
from orchestrator.server.operations.fires import NewId, due_schedules, fire_due
from orchestrator.server.store.interface import Store

_LOGGER: Final = logging.getLogger(__name__)


async def fire_schedules(store: Store, clock: Clock, new_id: NewId) -> None:
    """Decide about every moment that has come, of every schedule."""
    now_us = round(clock.now() * 1_000_000)
    for schedule_id in await store.read(partial(due_schedules, now_us=now_us)):
        deed = partial(fire_due, schedule_id=schedule_id, new_id=new_id)
        try:
            await store.write(deed)
        except (Mistaken, Refused) as error:
            faults = "".join(f"; {field}: {fault}" for field, fault in getattr(error, "fields", ()))
            told = f"{error.message}{faults}"
            await store.write(partial(deed, refused=told))
            logs.event(
                _LOGGER, logging.WARNING, "schedule.refused", schedule=schedule_id, reason=told
            )
        reached("schedule.after_commit")
