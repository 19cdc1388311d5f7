"""When an attempt is to be stopped, and when it is over: the deadlines of a shim, as arithmetic.

Pure: time comes in as an argument, in seconds of a clock that counts neither sleep of the machine
nor jumps of the wall clock, and who still lives is asked of the caller.

    running ──run or silence timeout, or told──► stopping ──grace over──► sweep
       │                                            │
       └──command ended──► draining ──closed, 2 s──►┤ command ended, its group too ──► sweep
"""

import math
from collections.abc import Callable
from typing import Final

from worker.records import Cause

DRAIN_S: Final = 2.0
"""How long output may go on after the command has ended, while somebody else holds its pipes."""


class Watch:
    """The deadlines of one attempt."""

    def __init__(
        self, now: float, *, timeout_s: float | None, silence_s: float | None, grace_s: float
    ) -> None:
        self._grace_s = grace_s
        self._silence_s = silence_s
        self._run_until = math.inf if timeout_s is None else now + timeout_s
        self._quiet_until = math.inf if silence_s is None else now + silence_s
        self._kill_at = math.inf
        self._drained_at = math.inf
        self.cause: Cause | None = None
        """Why the command was stopped; `None` while it was not."""
        self.ended = False
        """Whether the command itself is gone; others may go on."""

    def heard(self, now: float) -> None:
        """Note output: the silence begins anew."""
        if self._silence_s is not None:
            self._quiet_until = now + self._silence_s

    def stop(self, cause: Cause, now: float, grace_s: float | None = None) -> bool:
        """Tell whether the command is to get its signal now, because this stops it first.

        Later reasons change nothing but the grace, and that only to a shorter one. What has ended
        by itself is not stopped any more: waiting for its output is cut short.
        """
        grace_s = self._grace_s if grace_s is None else grace_s
        if self.ended and self.cause is None:
            self._drained_at = now
            return False
        self._kill_at = min(self._kill_at, now + grace_s)
        if self.cause is not None:
            return False
        self.cause = cause
        return True

    def end(self, now: float) -> None:
        """Note that the command has ended, however it did."""
        self.ended = True
        self._drained_at = now + DRAIN_S

    def overdue(self, now: float) -> Cause | None:
        """Return the timeout that has passed, if one has and nothing stops the command yet."""
        if self.ended or self.cause is not None:
            return None
        if now >= self._run_until:
            return Cause.TIMEOUT_RUN
        return Cause.TIMEOUT_SILENCE if now >= self._quiet_until else None

    def is_over(self, now: float, *, pipes_open: bool, group_alive: Callable[[], bool]) -> bool:
        """Tell whether whoever is left is to be killed now.

        `group_alive` is asked only while the end of a stopped command is awaited. Its own process
        group has had the signal and keeps the grace, even if the leader went first. Whoever left
        the group was told nothing, so nobody waits for it.
        """
        if now >= self._kill_at:
            return True
        if not self.ended:
            return False
        if self.cause is not None:
            return not group_alive()
        return not pipes_open or now >= self._drained_at

    def wake_at(self) -> float:
        """Return the moment at which time alone may change an answer."""
        if self.ended:
            return min(self._kill_at, self._drained_at if self.cause is None else math.inf)
        if self.cause is not None:
            return self._kill_at
        return min(self._run_until, self._quiet_until)
