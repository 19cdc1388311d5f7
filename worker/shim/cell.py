"""A control group for one attempt that has limits, in which its shim is not.

It knows the kernel's files. Made for an attempt and removed after it; the shim is in it only while
it starts the command, which is in it from its first instruction on. What the kernel holds it to
needs nobody to look: too much memory ends all of it at once, a process too many is refused, and
whoever has used up his share of the processors waits.
"""

import contextlib
from collections.abc import Iterator
from typing import Final, Self

from orchestrator.kernel import linux
from orchestrator.kernel.cgroups import Cgroup
from orchestrator.kernel.delegation import CONTROLLERS, write
from worker.shim.line import Grant
from worker.shim.ration import in_words

_PERIOD_US: Final = 100_000
_MODE: Final = 0o755


def controllers_of(group: Cgroup | None) -> frozenset[str]:
    """Return what a cell beside this group can be held to."""
    if group is None:
        return frozenset()
    return frozenset(name for name in CONTROLLERS if (group.path / f"{name}.max").exists())


def held_to(grant: Grant, controllers: frozenset[str]) -> dict[str, str]:
    """Return what to write into which file, as long as the shim is in the cell, too."""
    words: dict[str, str] = {}
    if grant.memory_bytes is not None and "memory" in controllers:
        words |= {"memory.max": str(grant.memory_bytes), "memory.oom.group": "1"}
    if grant.pids is not None and "pids" in controllers:
        words["pids.max"] = str(grant.pids + 1)
    if grant.cpus is not None and "cpu" in controllers:
        # Less than a hundredth of a processor the kernel does not take.
        share_us = max(_PERIOD_US // 100, round(grant.cpus * _PERIOD_US))
        words["cpu.max"] = f"{share_us} {_PERIOD_US}"
    return words


class Cell:
    """What one command and all that it starts are in."""

    def __init__(self, group: Cgroup, grant: Grant, controllers: frozenset[str]) -> None:
        self._group = group
        self._path = group.cell
        self._memory = grant.memory_bytes if "memory" in controllers else None
        self._pids = grant.pids if "pids" in controllers else None

    @classmethod
    def made(cls, group: Cgroup | None, grant: Grant, controllers: frozenset[str]) -> Self | None:
        """Make one with the limits of a grant; `None` if it has none, or it cannot be had."""
        if group is None or not controllers or not (limits := held_to(grant, controllers)):
            return None
        cell = cls(group, grant, controllers)
        try:
            cell._path.mkdir(_MODE)
            for name, value in limits.items():
                write(cell._path / name, value.encode())
            with contextlib.suppress(OSError):  # nowhere to swap to, no such file
                if cell.holds_memory:
                    write(cell._path / "memory.swap.max", b"0")
        except OSError:
            cell.remove()
            return None
        return cell

    @property
    def holds_memory(self) -> bool:
        """Tell whether nobody else has to look after its memory."""
        return self._memory is not None

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Be in it for the length of a block in which the command is started."""
        write(self._path / "cgroup.procs", b"0")
        try:
            yield
        finally:
            write(self._group.path / "cgroup.procs", b"0")
            if self._pids is not None:
                write(self._path / "pids.max", str(self._pids).encode())

    def verdict(self) -> str | None:
        """Return what was too much, if the kernel has ended it for its memory."""
        if self._memory is None or not self._count("memory.events", b"oom_kill"):
            return None
        peak = linux.read_small(str(self._path / "memory.peak")).strip()
        used = int(peak) if peak.isdigit() else self._memory
        return f"memory limit {in_words(self._memory)} exceeded (peak {in_words(used)})"

    def remark(self) -> str | None:
        """Return that it wanted more processes than it may have, if it did."""
        refused = 0 if self._pids is None else self._count("pids.events", b"max")
        if not refused:
            return None
        return f"it may have {self._pids} processes at once, and was refused {refused} more"

    def _count(self, name: str, word: bytes) -> int:
        for line in linux.read_small(str(self._path / name)).splitlines():
            key, _, value = line.partition(b" ")
            if key == word:
                return int(value)
        return 0

    def remove(self) -> None:
        """Remove it. If somebody in it cannot be killed, the launcher or its next one does it."""
        Cgroup(self._path).remove()


def inside(cell: Cell | None) -> contextlib.AbstractContextManager[None]:
    """Return a block in which the shim is in a cell, if there is one."""
    return contextlib.nullcontext() if cell is None else cell.entered()
