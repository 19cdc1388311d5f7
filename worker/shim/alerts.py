"""Signals, as something that a poll can wait for.

It knows which signals a shim is told things by, not what they mean. Python's own wakeup descriptor
does the waking, so there is no moment at which a signal can slip in between a look and a wait.
"""

import contextlib
import os
import signal
from collections.abc import Iterable
from types import FrameType

_MANY = 4096


class Alerts:
    """The signals that came since the last look."""

    def __init__(self, orders: Iterable[int]) -> None:
        self.fd, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._came: list[int] = []
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        # A child's end needs no note of its own: waiting for it tells which it was.
        signal.signal(signal.SIGCHLD, _wake)
        for number in orders:
            signal.signal(number, self._note)
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE, signal.SIGUSR2):
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._came.append(number)

    def take(self) -> list[int]:
        """Return the orders that came, in their order, and forget them."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.fd, _MANY)
        came, self._came = self._came, []
        return came


def _wake(_number: int, _frame: FrameType | None) -> None:
    """Do nothing: the byte in the pipe has woken whoever waits."""
