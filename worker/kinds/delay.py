"""The kind `delay`: wait, and succeed with how long it took. It needs no process.

One that takes longer than a second says how far it is.

A delay of nothing is the no-op by which everything around a job is measured.
"""

import math
from collections.abc import AsyncIterator
from typing import Final

import anyio

from orchestrator.kernel.clock import Clock
from orchestrator.protocol.jobs import DelayParams
from orchestrator.protocol.limits import PROGRESS_S
from orchestrator.protocol.words import Outcome, Reason
from worker.kinds import Entered, Finished, Launch, Progressed, Work
from worker.logic.outcome import End
from worker.moment import now_us
from worker.records import Cause, Phase

STEPS: Final = 100
"""A long one says each percent."""
_ENDS = {
    Cause.CANCELLED: (Outcome.CANCELLED, Reason.CANCELLED_BY_USER),
    Cause.PREEMPTED: (Outcome.PREEMPTED, Reason.PREEMPTED),
    Cause.TIMEOUT_RUN: (Outcome.TIMED_OUT, Reason.TIMEOUT_RUN),
    Cause.TIMEOUT_SILENCE: (Outcome.TIMED_OUT, Reason.TIMEOUT_SILENCE),
}


class Delay:
    """Waits in this process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def ready(self, work: Work) -> Launch:
        """Return how to start waiting."""
        params = DelayParams.model_validate(work.params)
        return WaitLaunch(
            Wait(
                self._clock,
                delay_s=params.ms / 1000,
                timeout_s=work.timeout_s,
                silence_s=work.silence_s,
            )
        )


class WaitLaunch:
    """One wait that was made ready: it needs nothing of the machine."""

    def __init__(self, wait: "Wait") -> None:
        self._wait = wait

    async def secure(self) -> None:
        """Do nothing."""

    async def start(self) -> "Wait":
        """Return it: it begins when its records are read."""
        return self._wait

    def leave(self) -> None:
        """Do nothing."""


class Wait:
    """One wait. It has no log on disk: what is lost with this process is run again.

    Each word about how far it is ends its silence, which lasts as long as it says nothing.
    """

    def __init__(
        self, clock: Clock, *, delay_s: float, timeout_s: float, silence_s: float | None = None
    ) -> None:
        self._clock = clock
        self._delay_s = delay_s
        self._timeout_s = timeout_s
        self._silence_s = math.inf if silence_s is None else silence_s
        self._pause_s = max(PROGRESS_S, delay_s / STEPS)
        self._stopped = anyio.Event()
        self._cause: Cause | None = None
        self.phase: Phase = "granted"

    async def records(self) -> AsyncIterator[Entered | Progressed | Finished]:
        """Yield that it began, how far it is, and, when it is over, that it is."""
        started_us, begun = now_us(self._clock), self._clock.monotonic()
        self.phase = "running"
        yield Entered(started_us)
        while await self._wait(self._clock.monotonic() - begun):
            gone_s = self._clock.monotonic() - begun
            yield Progressed(now_us(self._clock), percent=self._percent(gone_s))
        took_ms = math.ceil((self._clock.monotonic() - begun) * 1000)
        self.phase = "ended"
        yield Finished(self._end(started_us, took_ms))

    async def _wait(self, gone_s: float) -> bool:
        """Wait for a while, as long as there is something to say then; tell whether there is."""
        left_s, allowed_s = self._delay_s - gone_s, self._timeout_s - gone_s
        step_s = min(left_s, allowed_s, self._silence_s, self._pause_s)
        if step_s > 0:
            with anyio.move_on_after(step_s):
                await self._stopped.wait()
                return False
        if step_s == left_s or left_s <= 0:
            return False
        if step_s == self._pause_s:
            return True
        self._cause = Cause.TIMEOUT_RUN if step_s == allowed_s else Cause.TIMEOUT_SILENCE
        return False

    def _percent(self, gone_s: float) -> float:
        return round(min(100.0, 100 * gone_s / self._delay_s), 1)

    def _end(self, started_us: int, took_ms: int) -> End:
        at_us = now_us(self._clock)
        if self._cause is None:
            result: dict[str, object] = {"ok": True, "took_ms": took_ms}
            return End(Outcome.SUCCEEDED, at_us, result=result, started_us=started_us)
        outcome, reason = _ENDS[self._cause]
        return End(outcome, at_us, reason=reason, started_us=started_us)

    def cancel(self, cause: Cause, grace_s: float) -> None:  # noqa: ARG002 - it ends at once
        """End the wait."""
        if self._cause is None:
            self._cause = cause
        self._stopped.set()

    def acknowledged(self, offset: int) -> None:
        """Do nothing: there is no output."""

    def keep(self) -> None:
        """Do nothing: there is no log."""

    def settle(self) -> None:
        """Do nothing: there is nothing to forget."""
