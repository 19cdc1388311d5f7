"""Take in output that is too large for the database's rows: first the files, then the commit.

It keeps the order on which durability rests: a part is written and synced, then its length is
committed, then the worker is told. One writer at a time for each attempt; the commit refuses what
was planned for a log that has moved on.
"""

import logging
from typing import Final
from weakref import WeakValueDictionary

import anyio
import anyio.to_thread

from orchestrator.kernel import logs
from orchestrator.kernel.errors import RequestInvalid
from orchestrator.protocol.limits import OUTPUT_INLINE_BYTES
from orchestrator.protocol.wire import Ack, Output, ReportRequest
from orchestrator.protocol.words import Directive
from orchestrator.server.operations.output import commit_output, writable_log
from orchestrator.server.operations.output_plan import Growth, OutputLog, grown
from orchestrator.server.operations.ownership import AttemptKey
from orchestrator.server.output_log import OutputFiles
from orchestrator.server.reserve import Reserve
from orchestrator.server.store.interface import Store

AT_ONCE: Final = 4
"""Writes to disk at a time: more would only take threads from everybody else."""
_LOGGER: Final = logging.getLogger(__name__)


class _Turn:
    """The right to write one attempt's log."""

    def __init__(self) -> None:
        self.lock = anyio.Lock()


class OutputIntake:
    """Output logs, from the side of those who send."""

    def __init__(self, store: Store, logs: OutputFiles, reserve: Reserve) -> None:
        self._store = store
        self._reserve = reserve
        self._logs = logs
        self._limiter = anyio.CapacityLimiter(AT_ONCE)
        self._turns: WeakValueDictionary[tuple[str, int], _Turn] = WeakValueDictionary()

    async def take(self, key: AttemptKey, offset: int, frames: bytes, *, worker_id: str) -> Ack:
        """Store encoded frames that begin at `offset`; return how far the stored log reaches.

        Frames that are known already are skipped, and frames behind a gap are left: the answer says
        from where to send. What is damaged stays so however often it is sent, so the worker is told
        to abandon the attempt instead of trying for ever.
        """
        turn = self._turns.setdefault((key.job_id, key.attempt), _Turn())
        async with turn.lock:
            log = await self._store.read(lambda r: writable_log(r, key, worker_id=worker_id))
            if log is None:
                return _abandon(key)
            try:
                growth = await anyio.to_thread.run_sync(
                    self._to_disk, key, log, offset, frames, limiter=self._limiter
                )
            except RequestInvalid as error:
                _tell_refusal(key, error)
                return _abandon(key)
            if growth is None:
                return Ack(job_id=key.job_id, attempt=key.attempt, output_offset=log.length)
            ack = await self._store.write(
                lambda tx: commit_output(tx, key, growth, worker_id=worker_id)
            )
            if growth.dropped and ack.output_offset == growth.after.length:
                await anyio.to_thread.run_sync(
                    self._logs.drop, key.job_id, key.attempt, growth.dropped
                )
            return ack

    def _to_disk(
        self, key: AttemptKey, log: OutputLog, offset: int, frames: bytes
    ) -> Growth | None:
        growth = grown(log, offset, frames)
        if growth is not None and growth.pieces:
            self._reserve.require_half()
            self._logs.write(key.job_id, key.attempt, growth.pieces)
        return growth

    async def take_large(self, request: ReportRequest, *, worker_id: str) -> None:
        """Store what a report carries beyond the database's rows, before the report itself.

        A job that prints little by little outgrows its row by small steps that ride in reports.
        Damaged output is left out: the report finds it missing, looks at it, and refuses its
        attempt, while everybody else in it is heard.
        """
        for event in request.events:
            if isinstance(event, Output) and event.offset + len(event.frames) > OUTPUT_INLINE_BYTES:
                key = AttemptKey(event.job_id, event.attempt, request.session_id)
                await self.take(key, event.offset, event.frames, worker_id=worker_id)


def _abandon(key: AttemptKey) -> Ack:
    return Ack(job_id=key.job_id, attempt=key.attempt, directive=Directive.ABANDON)


def _tell_refusal(key: AttemptKey, error: RequestInvalid) -> None:
    """Tell the log, because the worker only stops: looking for the damage is an operator's."""
    about = {"job": key.job_id, "attempt": key.attempt, "why": str(error)}
    logs.event(_LOGGER, logging.WARNING, "output.refused", **about)
