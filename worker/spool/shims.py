"""Whoever stands behind the log of an attempt, and what can be asked of him.

A shim of this worker's own pool has a socket to it (`worker.pool`). One that was found in the spool
is reached by a pidfd alone, and one that has gone not at all. The log reads the same in all three
cases; only waiting and cancelling differ.
"""

import contextlib
import math
import os
import signal
from typing import Final, Protocol

import anyio

from worker.records import PREEMPT_GRACE_S, Cause
from worker.shim import layout
from worker.spool.segment import Segment

_FIRST_LOOK_S: Final = 0.02
OVERDUE_S: Final = 30.0
"""How much later than ordered a shim may end its attempt. It takes milliseconds, and ten seconds if
somebody of the attempt cannot be killed. One that was stopped, by its job, may take for ever."""
_LATEST_LOOK_S: Final = 0.2
"""Output of a found shim is seen within this, and a quiet one costs five looks a second."""


class Shim(Protocol):
    """Who writes what a log is read from. One reader at a time."""

    async def more(self, *, news: bool) -> bool:
        """Wait until there may be more to read; `False` once nobody will write again.

        `news` tells whether the last look brought any.
        """
        ...

    def cancel(self, cause: Cause, grace_s: float) -> None:
        """Have the attempt ended, if it still runs."""
        ...

    def ended(self, segment: Segment, position: int) -> None:
        """Hear that the exit record was read, and where the next attempt will begin."""
        ...

    def lost(self) -> None:
        """Hear that nobody is there any more."""
        ...


class NoShim:
    """Nobody: all that will ever be written can be read."""

    async def more(self, *, news: bool) -> bool:  # noqa: ARG002 – nobody writes, news or not
        """Return at once that there is nothing to wait for."""
        return False

    def cancel(self, cause: Cause, grace_s: float) -> None:
        """Do nothing: there is nobody to end."""

    def ended(self, segment: Segment, position: int) -> None:
        """Do nothing."""

    def lost(self) -> None:
        """Do nothing."""


class FoundShim:
    """A shim that an earlier worker process started. It takes no other attempt after this one.

    It has no socket to us, so its file is looked at, and its end is seen by the pidfd.
    """

    def __init__(self, pidfd: int, grace_s: float, over_by: float) -> None:
        self._pidfd = pidfd
        self._grace_s = grace_s
        self._kill_at = over_by + OVERDUE_S
        self._pause_s = _FIRST_LOOK_S

    async def more(self, *, news: bool) -> bool:
        """Return after a pause, and at once when the shim ends."""
        self._pause_s = _FIRST_LOOK_S if news else min(self._pause_s * 2, _LATEST_LOOK_S)
        with anyio.move_on_after(self._pause_s):
            await anyio.wait_readable(self._pidfd)
            return False
        # Its job may have stopped it; and what has had its order and its grace must be over.
        overdue = anyio.current_time() >= self._kill_at
        self._signal(signal.SIGKILL if overdue else signal.SIGCONT)
        return True

    def cancel(self, cause: Cause, grace_s: float) -> None:  # noqa: ARG002 – it has its own
        """Signal the shim. It keeps the grace of its grant, or what an interruption allows."""
        longest_s = PREEMPT_GRACE_S if cause is Cause.PREEMPTED else math.inf
        over_by = anyio.current_time() + min(self._grace_s, longest_s)
        self._kill_at = min(self._kill_at, over_by + OVERDUE_S)
        self._signal(layout.CANCEL_SIGNAL if cause is Cause.CANCELLED else layout.PREEMPT_SIGNAL)
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, number)

    def ended(self, segment: Segment, position: int) -> None:  # noqa: ARG002 – there is no next
        """Let go of it: this was the last that it had to write."""
        segment.closed = True
        os.close(self._pidfd)

    def lost(self) -> None:
        """Let go of it."""
        os.close(self._pidfd)
