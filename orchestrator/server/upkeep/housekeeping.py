"""Housekeeping: old jobs, unused files and what crashes left are removed, a few at a time."""

import logging
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Final

import anyio
from anyio import to_thread

from orchestrator.core.retention import USUAL, Retention
from orchestrator.kernel import logs
from orchestrator.kernel.clock import Clock
from orchestrator.kernel.errors import AlreadyRunning, Unavailable
from orchestrator.kernel.files import Lock
from orchestrator.server.files import FileStore
from orchestrator.server.operations.files import find_file
from orchestrator.server.operations.retention import (
    BATCH,
    forget_batches,
    forget_files,
    forget_jobs,
    forget_lines,
    forget_sessions,
    forget_turns,
    forgettable_jobs,
    idle_lines,
)
from orchestrator.server.operations.schedules import forget_fires
from orchestrator.server.output_log import OutputFiles
from orchestrator.server.store.interface import Reader, Store
from orchestrator.server.upkeep.turn import patience, turn_at

PERIOD_S: Final = 3600.0
_LOGGER: Final = logging.getLogger(__name__)


class Housekeeping:
    """Everything that is kept for a while, and where it lies."""

    def __init__(  # noqa: PLR0913  # what it looks after
        self,
        store: Store,
        outputs: OutputFiles,
        files: FileStore,
        clock: Clock,
        *,
        lock: Path | None = None,
        kept: Retention = USUAL,
    ) -> None:
        """Stay away while somebody else holds `lock`: whoever saves the data."""
        self._lock = lock
        self._kept = kept
        self._store = store
        self._outputs = outputs
        self._files = files
        self._clock = clock

    async def run(self) -> None:
        """Clean up now and then every hour, until cancelled."""
        while True:
            try:
                with Lock(self._lock).take("a backup") if self._lock else nullcontext():
                    await self.clean()
            except (AlreadyRunning, Unavailable, OSError) as error:
                logs.event(_LOGGER, logging.WARNING, "housekeeping.delayed", reason=str(error))
            await anyio.sleep(PERIOD_S)

    async def prune(self) -> int:
        """Forget jobs that are old enough, now and not within the hour; return how many."""
        lock = await turn_at(Lock(self._lock), until=patience()) if self._lock else nullcontext()
        with lock:
            return await self._jobs()

    async def clean(self) -> None:
        """Remove everything that is old enough."""
        jobs = await self._jobs()
        files = await self._unused_files() + await self._orphans()
        await self._idle_lines()
        await self._store.write(forget_sessions)
        for forget in (forget_turns, forget_fires, forget_batches):
            while await self._store.write(forget):
                pass
        if jobs or files:
            logs.event(_LOGGER, logging.INFO, "housekeeping.done", jobs=jobs, files=files)

    async def _jobs(self) -> int:
        """Forget jobs: their output first, so that a crash leaves a row and never a lost file."""
        forgotten = 0
        while True:
            now_us = round(self._clock.now() * 1_000_000)
            found = await self._store.read(
                partial(forgettable_jobs, now_us=now_us, kept=self._kept)
            )
            for job_id, _ in found:
                await to_thread.run_sync(self._outputs.remove, job_id)
            forgotten += await self._store.write(partial(forget_jobs, jobs=found, kept=self._kept))
            if len(found) < BATCH:
                return forgotten

    async def _idle_lines(self) -> None:
        forgotten = 1
        while forgotten:
            idle = await self._store.read(idle_lines)
            forgotten = await self._store.write(partial(forget_lines, numbers=idle))

    async def _unused_files(self) -> int:
        forgotten = 0
        while True:
            async with self._files.turn:
                names = await self._store.write(forget_files)
                await self._remove(names)
            forgotten += len(names)
            if len(names) < BATCH:
                return forgotten

    async def _orphans(self) -> int:
        """Remove files that have no row: somebody crashed between the two, in either order."""
        names = await to_thread.run_sync(self._files.names)
        removed = 0
        for first in range(0, len(names), BATCH):
            async with self._files.turn:
                some = names[first : first + BATCH]
                orphans = await self._store.read(partial(_without_row, names=some))
                await self._remove(orphans)
            removed += len(orphans)
        return removed

    async def _remove(self, names: list[str]) -> None:
        for name in names:
            await to_thread.run_sync(self._files.remove, name)


def _without_row(reader: Reader, *, names: list[str]) -> list[str]:
    return [name for name in names if find_file(reader, name) is None]
