"""A small job of our own that goes the whole way before a worker takes those of others.

It is started by the launcher in a shim of its own, with the environment, the folder and the limits
that jobs get, writes into the spool, and is read back: so whatever would make every job here fail
fails this one first, and costs nobody anything. The server never hears of it.
"""

import json
import logging
import math
import socket
from collections.abc import Callable, Iterable
from typing import Final

import anyio

from orchestrator.kernel import logs
from orchestrator.kernel.backoff import Backoff
from orchestrator.kernel.bell import Bell
from orchestrator.kernel.clock import Clock
from orchestrator.kernel.errors import LaunchFailed
from orchestrator.protocol.frames import FrameType, decode
from worker.capacity import Capacity, Shortage
from worker.logic.environment import for_job
from worker.pool import ShimOrder, ShimPool
from worker.records import Cause, Exited, Vanished, Wrote
from worker.settings import WorkerSettings
from worker.spool import AttemptLog, Spool
from worker.terms import Terms

LOGGER: Final = logging.getLogger(__name__)
JOB: Final = "canary"
"""No job of a server has such an id."""
WORD: Final = "the canary sings"
RUN_S: Final = 30.0
GRACE_S: Final = 1.0
PATIENCE_S: Final = RUN_S + GRACE_S + 5.0
"""How long its end is waited for: a shim that hangs counts nothing, and would tell nothing."""
AGAIN: Final = Backoff(initial_s=5.0, factor=2.0, max_s=300.0)
HINT: Final = "no job could run here; it is tried again, and after each change of its settings"
_CONCERNED: Final = frozenset({"canary", "env", "env_pass", "limits"})
"""Settings that a job gets: when one of them changes it may fail that ran before."""


def without_canaries(found: Iterable[AttemptLog]) -> tuple[list[AttemptLog], list[AttemptLog]]:
    """Return what is a job's, and what an earlier process left of a canary."""
    logs_found = list(found)
    ours = [log for log in logs_found if log.job_id == JOB]
    return [log for log in logs_found if log.job_id != JOB], ours


class Canary:
    """The canary of one worker."""

    def __init__(  # noqa: PLR0913 - everything that a job goes through
        self,
        settings: WorkerSettings,
        *,
        terms: Terms,
        spool: Spool,
        channel: socket.socket,
        capacity: Capacity,
        clock: Clock,
        changed: Bell,
    ) -> None:
        self._settings = settings
        self._terms = terms
        self._spool = spool
        self._channel = channel
        self._capacity = capacity
        self._clock = clock
        self._changed = changed
        self._due = settings.canary
        if self._due:
            capacity.unproven = Shortage("its canary job runs before any other", "")

    def reconsider(self, names: Iterable[str]) -> None:
        """Hear which settings have changed."""
        self._due |= not _CONCERNED.isdisjoint(names)
        self._changed.ring()

    async def keep(self, left: Iterable[AttemptLog], reconsider: Callable[[], None]) -> None:
        """Let it sing whenever there is a reason to, for ever.

        `reconsider` is called when another number of jobs may be taken than before.
        """
        for log in left:
            await _forget(log)
        failures, at = 0, math.inf
        while True:
            await self._changed.until(lambda: self._due, deadline=at)
            self._due = False
            why = await self._fault() if self._terms.now.canary else None
            failures, at = (0, math.inf) if why is None else (failures + 1, self._again(failures))
            self._note(why, at)
            reconsider()

    @staticmethod
    def _again(failures: int) -> float:
        return anyio.current_time() + AGAIN.ceiling(failures + 1)

    def _note(self, why: str | None, at: float) -> None:
        if not self._terms.now.canary:
            self._capacity.unproven = None
        elif why is None:
            self._capacity.unproven = None
            logs.event(LOGGER, logging.INFO, "canary.passed")
        else:
            self._capacity.unproven = Shortage(f"its canary job failed: {why}", HINT)
            again_in_s = round(at - anyio.current_time(), 1)
            logs.event(LOGGER, logging.ERROR, "canary.failed", why=why, again_in_s=again_in_s)
        self._changed.ring()

    async def _fault(self) -> str | None:
        """Return why it does not sing; nothing, if it does."""
        pool = ShimPool(self._spool, self._channel.dup(), Capacity(1, lambda: 1.0))
        try:
            return await sung(pool, self._order())
        except LaunchFailed as error:
            return error.message
        finally:
            pool.dismiss_idle()
            pool.close()

    def _order(self) -> ShimOrder:
        folder = str(self._settings.working_directory)
        return ShimOrder(
            job_id=JOB,
            attempt=round(self._clock.now() * 1000),
            argv=("echo", WORD),
            env=for_job(self._terms.environment, {}),
            cwd=folder,
            root=folder,
            timeout_s=RUN_S,
            grace_s=GRACE_S,
            limits=self._terms.now.limits,
        )


async def sung(pool: ShimPool, order: ShimOrder, patience_s: float = PATIENCE_S) -> str | None:
    """Let it sing; return what is wrong with that, if anything is."""
    log = await pool.start(order)
    try:
        with anyio.move_on_after(patience_s):
            return await _heard(log)
        pool.kill()
        return f"its end was not heard of within {patience_s:g} s, so its shim was killed"
    except BaseException:
        log.cancel(Cause.CANCELLED, 0.0)  # nobody will be there to hear how it ends
        raise
    finally:
        log.settle()


async def _heard(log: AttemptLog) -> str | None:
    """Return what is wrong with how it sang, if anything is."""
    said = b""
    async for record in log.records():
        match record:
            case Wrote(frames=frames):
                said += b"".join(one.data for one in decode(frames) if one.type in _OUT)
            case Exited(code=0) if said == f"{WORD}\n".encode():
                return None
            case Exited(code=0):
                told = json.dumps(said[:80].decode("utf-8", "replace"), ensure_ascii=False)
                return f"its output did not come back: {told}"
            case Exited():
                return _ended(record, said)
            case Vanished():
                return "the process that watched it is gone"
            case _:
                continue
    return "its log has no end"


_OUT: Final = frozenset({FrameType.OUT, FrameType.ERR})


def _ended(end: Exited, said: bytes) -> str:
    if end.message:
        return end.message
    how = f"signal {end.signal}" if end.signal is not None else f"exit code {end.code}"
    told = said[:200].decode("utf-8", "replace").strip()
    return f"it ended with {how}" + (f": {told}" if told else "")


async def _forget(log: AttemptLog) -> None:
    log.cancel(Cause.CANCELLED, 0.0)
    async for _ in log.records():
        pass
    log.settle()
