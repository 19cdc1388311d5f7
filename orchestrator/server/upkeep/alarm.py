"""The alarm clock of jobs and schedules that wait for a moment: it rings when one comes."""

import logging
from collections.abc import Sequence
from typing import Final

import anyio

from orchestrator.kernel import logs
from orchestrator.kernel.clock import Clock
from orchestrator.kernel.errors import Unavailable
from orchestrator.server.facts import Fact, NewsLost, Scheduled
from orchestrator.server.operations.fires import NewId
from orchestrator.server.operations.ring import next_ring, ring
from orchestrator.server.store.interface import Store
from orchestrator.server.upkeep.delay import Delay
from orchestrator.server.upkeep.firing import fire_schedules

LONGEST_SLEEP_S: Final = 30.0
"""The clock of the wall can be set forward, and nobody tells."""
RETRY_S: Final = 1.0
_LOGGER: Final = logging.getLogger(__name__)


class Alarm:
    """Sleeps until the earliest moment that it knows of."""

    def __init__(self, store: Store, clock: Clock, new_id: NewId) -> None:
        self._store = store
        self._clock = clock
        self._new_id = new_id
        self._next_us: int | None = None
        self._earlier = anyio.Event()
        self._delay = Delay()

    def hear(self, facts: Sequence[Fact]) -> None:
        """Wake up sooner for a job that falls due sooner, or that may do so."""
        for fact in facts:
            if isinstance(fact, NewsLost):
                self._earlier.set()
            if isinstance(fact, Scheduled) and fact.due_us < (self._next_us or fact.due_us + 1):
                self._next_us = fact.due_us
                self._earlier.set()

    async def run(self) -> None:
        """Do what its moment has come for, until cancelled."""
        while True:
            # Before the look, so that a job which is scheduled during it is not slept over.
            self._earlier = anyio.Event()
            self._next_us = None
            sleep_s = await self._ring()
            with anyio.move_on_after(sleep_s):
                await self._earlier.wait()

    async def _ring(self) -> float:
        """Do what is due; return for how long nothing will be."""
        try:
            more = True
            while more:  # a batch of a million jobs that is cancelled must not hold up a schedule
                more = await self._store.write(ring)
                await fire_schedules(self._store, self._clock, self._new_id)
            due_us = await self._store.read(next_ring)
        except Unavailable as error:
            if self._delay.begins(error):
                logs.event(_LOGGER, logging.WARNING, "alarm.delayed", reason=error.message)
            return RETRY_S
        self._delay.ends()
        if due_us is None:
            return LONGEST_SLEEP_S
        self._next_us = min(due_us, self._next_us or due_us)
        return min(max(self._next_us / 1_000_000 - self._clock.now(), 0.0), LONGEST_SLEEP_S)
