"""Orders for many jobs: done one after the other, a few jobs at a time, beside all other work."""

import logging
from functools import partial
from pathlib import Path
from typing import Final

import anyio
from anyio import to_thread

from orchestrator.core.bulk import Preview
from orchestrator.kernel import logs
from orchestrator.kernel.bell import Bell
from orchestrator.kernel.errors import AlreadyRunning, Mistaken, Unavailable
from orchestrator.kernel.files import Lock
from orchestrator.protocol.bulk import BulkOrder
from orchestrator.protocol.words import BulkAction
from orchestrator.server.operations.bulk import (
    COUNTED,
    advance,
    fail_bulk,
    meant,
    newest_job,
    next_of,
    open_bulk,
    require_understood,
)
from orchestrator.server.operations.delete import deletable
from orchestrator.server.services import Services
from orchestrator.server.upkeep.delay import Delay

LOOK_S: Final = 30.0
"""How often it looks for what nobody told it of: an order that another server took in."""
RETRY_S: Final = 1.0
_LOGGER: Final = logging.getLogger(__name__)


async def count_meant(services: Services, order: BulkOrder) -> Preview:
    """Count the jobs that an order is for now, in stretches that hold nobody up."""
    store = services.store
    at_us = round(services.clock.now() * 1_000_000)
    await store.read(partial(require_understood, order=order, now_us=at_us))
    upto = await store.read(newest_job)
    preview = Preview(upto or f"job_{'0' * 26}", at_us, 0)
    count, position = 0, ""
    while True:
        look = partial(meant, order=order, preview=preview, position=position, limit=COUNTED)
        found = await store.read(look)
        count += len(found.ids)
        if found.following is None:
            return Preview(preview.upto, at_us, count)
        position = found.following.job_id


class Bulks:
    """Does what orders are open, the oldest first."""

    def __init__(self, services: Services, lock: Path) -> None:
        """Delete nothing while somebody else holds `lock`: whoever saves the data."""
        self._services = services
        self._lock = lock

    async def run(self) -> None:
        """Do all of them, and those that come, until cancelled."""
        bell: Bell = self._services.bulk_bell
        delay = Delay()
        while True:
            try:
                while await self._step():
                    pass
                delay.ends()
            except (AlreadyRunning, Unavailable, OSError) as error:
                met = Unavailable(str(error)) if isinstance(error, OSError) else error
                if delay.begins(met):
                    logs.event(_LOGGER, logging.WARNING, "bulk.delayed", reason=met.message)
                await anyio.sleep(RETRY_S)
                continue
            await bell.next(deadline=anyio.current_time() + LOOK_S)

    async def _step(self) -> bool:
        """Do a little of the oldest order; tell whether there was one."""
        store = self._services.store
        bulk_id = await store.read(open_bulk)
        if bulk_id is None:
            return False
        try:
            action, was, found = await store.read(partial(next_of, bulk_id=bulk_id))
        except Mistaken as error:
            # Its filter was understood when it was given, by another version; all others go on.
            await store.write(partial(fail_bulk, bulk_id=bulk_id, why=error.message))
            logs.event(_LOGGER, logging.ERROR, "bulk.failed", bulk=bulk_id, reason=error.message)
            return True
        ids = (
            [self._services.new_id("job") for _ in found.ids] if action is BulkAction.RETRY else []
        )
        deed = partial(advance, bulk_id=bulk_id, found=found, was=was, new_ids=ids)
        if action is not BulkAction.DELETE:
            await store.write(deed)
            return True
        with Lock(self._lock).take("a backup, or housekeeping,"):
            # What is kept after all keeps its output.
            for job_id in await store.read(partial(deletable, job_ids=found.ids)):
                await to_thread.run_sync(self._services.outputs.remove, job_id)
            await store.write(deed)
        return True
