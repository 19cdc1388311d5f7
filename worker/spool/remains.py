"""End what an attempt left behind when its shim was killed before it could.

It knows processes and no log. Normally the launcher has done this already, as the sub-reaper that a
dead shim's children fall to. If the launcher died as well, they are orphans of the machine. Where
there are control groups the shim's is theirs, and nobody else's. Elsewhere two things still point
to them: the recorded process, and the marks in the environment of whoever did not clear it. Either
only nominates: a process is killed through a pidfd that was opened before its identity was read, so
that a stranger with a pid that was used again is never hit.
"""

import contextlib
import os
import select
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import anyio

from orchestrator.kernel import linux
from orchestrator.kernel.cgroups import Cgroup
from worker.spool.segment import Key, Process

_PATIENCE_S: Final = 5.0
"""A killed process is gone in milliseconds; one that the kernel holds may take for ever."""
_FIRST_PAUSE_S: Final = 0.001
_LONGEST_PAUSE_S: Final = 0.05


async def end_all(key: Key, process: Process | None, group: Cgroup | None) -> None:
    """Kill what can be found of an attempt, again and again until nothing is found."""
    if group is not None:
        group.kill()
    give_up_at = anyio.current_time() + _PATIENCE_S
    pause_s = _FIRST_PAUSE_S
    while _is_left(key, process, group) and anyio.current_time() < give_up_at:
        await anyio.sleep(pause_s)
        pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
    if group is not None:
        group.remove()


def _is_left(key: Key, process: Process | None, group: Cgroup | None) -> bool:
    """Tell whether anybody was still found."""
    return _kill_some(key, process) or (group is not None and group.is_populated)


def _kill_some(key: Key, process: Process | None) -> bool:
    """Kill whoever is found now; tell whether there was anybody."""
    found = False
    if process is not None and process.boot_id == linux.boot_id():
        found = _kill(process.pid, lambda: linux.start_time(process.pid) == process.start_time)
    marks = {f"ORCHESTRATOR_JOB_ID={key[0]}".encode(), f"ORCHESTRATOR_ATTEMPT={key[1]}".encode()}
    for pid in _processes():
        if _bears(pid, marks):
            found |= _kill(pid, lambda pid=pid: _bears(pid, marks))  # type: ignore[misc]
    return found


def _kill(pid: int, is_the_one: Callable[[], bool]) -> bool:
    """Kill a process if it is the one that is meant; tell whether it was, and alive."""
    pidfd = linux.open_pidfd(pid)
    if pidfd is None:
        return False
    try:
        if _has_ended(pidfd) or not is_the_one():
            return False
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return False
    finally:
        os.close(pidfd)
    return True


def _has_ended(pidfd: int) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


def _processes() -> Iterator[int]:
    with contextlib.suppress(OSError):
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and entry.name != str(os.getpid()):
                yield int(entry.name)


def _bears(pid: int, marks: set[bytes]) -> bool:
    """Tell whether a process has all the marks in its environment, as far as we may look."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False
    return marks <= set(environment.split(b"\0"))
