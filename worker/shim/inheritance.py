"""What a command has of its shim's from its first instant: worn by the shim while it starts it.

What is set afterwards comes too late for whoever has started somebody by then. So the shim takes on
what its command is to have, starts it, and takes it off again. Only what could not be taken off is
set on the command itself, a moment after its start: the lid on its own limits, and its niceness.
"""

import contextlib
import os
import resource
from collections.abc import Iterator
from typing import Final

OOM_ADJUSTMENT: Final = 500
"""Of a range to 1000: when memory is short, jobs are killed before the programs that keep them."""
Pair = tuple[int, int]


class Inheritance:
    """What this shim's commands inherit. To be made before the shim hides its memory.

    A shim writes no core dump, because it would hold the secrets of its jobs; a job may, if whoever
    started us may.
    """

    def __init__(self) -> None:
        self._fd = -1
        self._own = b"0"
        with contextlib.suppress(OSError):
            self._fd = os.open("/proc/self/oom_score_adj", os.O_RDWR)
            self._own = os.pread(self._fd, 16, 0).strip()
        self._raised = str(max(OOM_ADJUSTMENT, int(self._own))).encode()
        self._core = resource.getrlimit(resource.RLIMIT_CORE)
        self._files = resource.getrlimit(resource.RLIMIT_NOFILE)
        _limit(resource.RLIMIT_CORE, (0, self._core[1]))

    @contextlib.contextmanager
    def worn(self, open_files: int | None = None) -> Iterator[None]:
        """Wear it for the length of a block in which a command is started."""
        self._wear(self._raised)
        _limit(resource.RLIMIT_CORE, self._core)
        if open_files is not None:
            _limit(resource.RLIMIT_NOFILE, (self._bounded(open_files), self._files[1]))
        try:
            yield
        finally:
            if open_files is not None:
                _limit(resource.RLIMIT_NOFILE, self._files)
            _limit(resource.RLIMIT_CORE, (0, self._core[1]))
            self._wear(self._own)

    def close(self, pid: int, *, open_files: int | None, nice: int) -> None:
        """Take from a command that has just started the right to lift its limits itself."""
        with contextlib.suppress(OSError, ValueError):
            if open_files is not None:
                bound = self._bounded(open_files)
                resource.prlimit(pid, resource.RLIMIT_NOFILE, (bound, bound))
        with contextlib.suppress(OSError):
            if nice:
                os.setpriority(os.PRIO_PGRP, pid, os.getpriority(os.PRIO_PROCESS, 0) + nice)

    def _bounded(self, open_files: int) -> int:
        hard = self._files[1]
        return open_files if hard == resource.RLIM_INFINITY else min(open_files, hard)

    def _wear(self, mark: bytes) -> None:
        # Where this is forbidden, jobs are as likely to be killed as anybody else.
        with contextlib.suppress(OSError):
            os.pwrite(self._fd, mark, 0)


def _limit(which: int, limits: Pair) -> None:
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(which, limits)
