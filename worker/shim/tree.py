"""Ending every process that an attempt has left, and proving that none is left.

It knows no command and no deadline but its own. The shim is a sub-reaper, so whatever the command
started and abandoned, in whatever session, becomes the shim's child; when the kernel says that
there is no child, there is nobody.
"""

import contextlib
import os
import resource
import signal
import time
from collections.abc import Callable
from typing import Final

from orchestrator.kernel import linux
from orchestrator.kernel.cgroups import Cgroup

GIVE_UP_S: Final = 10.0
"""A killed process is gone in milliseconds, unless the kernel holds it (a dead network disk) or it
runs as another user; waiting longer than this helps with neither."""
_FIRST_PAUSE_S: Final = 0.0005
_LONGEST_PAUSE_S: Final = 0.05

Reaped = Callable[[int, int, resource.struct_rusage], None]
"""Is told of each child that has ended: its pid, its wait status, and what it used."""


def reap(reaped: Reaped) -> bool:
    """Take note of every child that has ended; tell whether any is left."""
    while True:
        try:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if pid == 0:
            return True
        reaped(pid, status, usage)


def in_group(group: int) -> bool:
    """Tell whether a child of ours is in that process group."""
    return any(_group_of(child) == group for child in linux.children())


def sweep(reaped: Reaped, group: Cgroup | None = None) -> int:
    """Kill all children and whoever becomes one by that; return how many would not go.

    A group, in which this process and all of them are, has them killed at one moment, so that
    nobody can fork faster than one could look. Who has left it is found as where there is none.
    """
    if group is not None:
        group.kill_others()
    give_up_at = time.monotonic() + GIVE_UP_S
    pause_s = _FIRST_PAUSE_S
    while reap(reaped):
        left = linux.children()
        if time.monotonic() > give_up_at:
            return len(left)
        for child in left:
            _kill(child)
        time.sleep(pause_s)
        pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
    return 0


def _kill(child: int) -> None:
    """Kill a child and its process group.

    The child's pid is its own until we have waited for it. Only the group makes an end of programs
    that fork faster than one could look; ours is not among them, as each job has its own session.
    """
    group = _group_of(child)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if group > 1 and group != os.getpgrp():
            os.killpg(group, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(child, signal.SIGKILL)


def _group_of(child: int) -> int:
    try:
        return os.getpgid(child)
    except ProcessLookupError:
        return 0
