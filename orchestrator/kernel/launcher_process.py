"""The launcher, as the process that forked it sees it: a pid, and the socket that is its life.

It starts nothing and knows no child. It sees the launcher off within a bounded time, whatever
state that is in: one that somebody stopped is woken, and one that does not end is killed.
Standard library only.
"""

import contextlib
import os
import select
import signal
import socket
import time
from dataclasses import dataclass
from typing import Final

from orchestrator.kernel import linux, packets

_ENDS_MS: Final = 3_000
"""It has nothing to do when its socket closes but to exit."""
_WOKEN_MS: Final = 2_000
_DEAD_MS: Final = 5_000
"""What was killed is gone at once, unless the kernel itself is stuck in there: then it is left."""

_LOOK_S: Final = 0.01
"""How often its end is looked for where nothing tells of it."""


@dataclass(frozen=True, slots=True)
class LauncherProcess:
    """The launcher's process."""

    pid: int
    control: socket.socket

    def lend(self, channel: int, entry: str) -> None:
        """Let whoever holds the other end of `channel` fork `entry`, and nothing else.

        For a program that wants nothing else of its launcher; others use `launching.Launcher`.
        """
        request = {"do": "lend", "id": 0, "entry": entry}
        socket.send_fds(self.control, [packets.encode(request)], [channel])

    def signal(self, number: int) -> None:
        """Send it a signal. It is our child, so its pid is nobody else's before we waited."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def close(self) -> bool:
        """End the launcher and wait for it; tell whether it had to be killed. Its shims go on."""
        self.control.close()
        if self._is_gone(_ENDS_MS):
            return False
        self.signal(signal.SIGCONT)
        if self._is_gone(_WOKEN_MS):
            return False
        self.signal(signal.SIGKILL)
        self._is_gone(_DEAD_MS)
        return True

    def _is_gone(self, patience_ms: int) -> bool:
        """Wait for its end, that long at most, and tell whether it has come."""
        descriptor = linux.open_pidfd(self.pid)
        if descriptor is None:
            return self._is_gone_by_looking(patience_ms / 1000)
        watch = select.poll()
        watch.register(descriptor, select.POLLIN)
        watch.poll(patience_ms)
        os.close(descriptor)
        return self._is_reaped()

    def _is_gone_by_looking(self, patience_s: float) -> bool:
        """Wait where nothing tells of its end: `waitpid` alone knows no deadline."""
        deadline = time.monotonic() + patience_s
        while not self._is_reaped():
            if time.monotonic() >= deadline:
                return False
            time.sleep(_LOOK_S)
        return True

    def _is_reaped(self) -> bool:
        try:
            return os.waitpid(self.pid, os.WNOHANG)[0] != 0
        except ChildProcessError:
            return True
