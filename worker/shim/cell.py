"""A control group for one attempt that has limits, in which its shim is not.

It knows the kernel's files. Made for an attempt and removed after it; the shim is in it only while
it starts the command, which is in it from its first instruction on. What the kernel holds it to
needs nobody to look: too much memory ends all of it at once, a process too many is refused, and
whoever has used up his share of the processors waits.

Limits are told to the kernel when the shim has stepped out: what ends a command for its memory must
not end whoever is to say so. Whatever cannot be had harms nobody: the command runs without it, its
memory is looked at, and its result says what it was not held to.
"""

import contextlib
import os
from collections.abc import Iterator
from typing import Final, Self

from orchestrator.kernel import linux
from orchestrator.kernel.cgroups import Cgroup
from orchestrator.kernel.delegation import CONTROLLERS, write
from worker.shim.line import Grant
from worker.shim.ration import in_words

Words = dict[str, dict[str, str]]
"""By limit: what to write into which file, in this order."""
_PERIOD_US: Final = 100_000
_MODE: Final = 0o755
_PLACE: Final = "cgroup.procs"
_SWAP: Final = "memory.swap.max"


def controllers_of(group: Cgroup | None) -> frozenset[str]:
    """Return what a cell beside this group can be held to."""
    if group is None:
        return frozenset()
    return frozenset(name for name in CONTROLLERS if (group.path / f"{name}.max").exists())


def held_to(grant: Grant, controllers: frozenset[str]) -> tuple[Words, Words]:
    """Return what to write before the shim steps into the cell, and what when it is out again.

    Before, only what cannot harm it: room for one process more, which it is itself.
    """
    before: Words = {}
    after: Words = {}
    if grant.pids is not None and "pids" in controllers:
        before["pids"] = {"pids.max": str(grant.pids + 1)}
        after["pids"] = {"pids.max": str(grant.pids)}
    if grant.memory_bytes is not None and "memory" in controllers:
        # The limit is the last: with the others alone nobody is ended.
        most = str(grant.memory_bytes)
        after["memory"] = {"memory.oom.group": "1", _SWAP: "0", "memory.max": most}
    if grant.cpus is not None and "cpu" in controllers:
        # Less than a hundredth of a processor the kernel does not take.
        share_us = max(_PERIOD_US // 100, round(grant.cpus * _PERIOD_US))
        after["cpus"] = {"cpu.max": f"{share_us} {_PERIOD_US}"}
    return before, after


class Cell:
    """What one command and all that it starts are in."""

    def __init__(self, group: Cgroup, grant: Grant, controllers: frozenset[str]) -> None:
        self._group = group
        self._path = group.cell
        self._grant = grant
        self._before, self._after = held_to(grant, controllers)
        self._refused: dict[str, OSError] = {}
        """By limit: why it is not held to it."""
        self._held: set[str] = set()
        self._way_out: int | None = None
        """The file by which the shim steps out of it, open as long as it is in it: on the way in
        there is time to see that it cannot be had, and on the way out there is none."""

    @classmethod
    def made(cls, group: Cgroup | None, grant: Grant, controllers: frozenset[str]) -> Self | None:
        """Make one for the limits of a grant; `None` if nothing there can be held to any."""
        if group is None:
            return None
        cell = cls(group, grant, controllers)
        if not cell._after:
            return None
        try:
            cell._path.mkdir(_MODE)
        except OSError as error:
            cell._have_none(error)
        return cell

    @property
    def holds_memory(self) -> bool:
        """Tell whether nobody else has to look after its memory."""
        return "memory" in self._held

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Be in it for the length of a block in which the command is started, if that is possible.

        What is in the way never gets out of here: by then there may be a command that runs.
        """
        self._enter()
        is_in = self._way_out is not None
        try:
            yield
        finally:
            is_out = self.left()
        if is_in and is_out:
            for limit, words in self._after.items():
                self._tell(limit, words)

    def _enter(self) -> None:
        if self._refused:
            return
        for limit, words in self._before.items():
            self._tell(limit, words)
        self._refused.clear()  # they are told again
        try:
            self._way_out = os.open(self._group.path / _PLACE, os.O_WRONLY)
            write(self._path / _PLACE, b"0")
        except OSError as error:
            self._have_none(error)
            self.remove()

    def left(self) -> bool:
        """Step out of it, if the shim is still in it; tell whether it is out."""
        if self._way_out is None:
            return True
        try:
            os.write(self._way_out, b"0")
        except OSError as error:
            # Nobody may be ended for his memory, or made to wait, together with the shim.
            self._refused |= {limit: error for limit in self._after if limit not in self._held}
            return False
        self._shut()
        return True

    def _tell(self, limit: str, words: dict[str, str]) -> None:
        try:
            for name, value in words.items():
                # Where there is nowhere to swap to there is no such file.
                if name != _SWAP or (self._path / name).exists():
                    write(self._path / name, value.encode())
        except OSError as error:
            self._refused[limit] = error
        else:
            self._held.add(limit)

    def _have_none(self, error: OSError) -> None:
        self._held.clear()
        self._refused = dict.fromkeys(self._after, error)

    def verdict(self) -> str | None:
        """Return what was too much, if the kernel has ended it for its memory."""
        most = self._grant.memory_bytes
        if most is None or not self.holds_memory or not self._count("memory.events", b"oom_kill"):
            return None
        peak = linux.read_small(str(self._path / "memory.peak")).strip()
        used = int(peak) if peak.isdigit() else most
        return f"memory limit {in_words(most)} exceeded (peak {in_words(used)})"

    def remarks(self) -> list[str]:
        """Return what it was not held to, and that it wanted more processes than it may have."""
        remarks = [
            f"it was not {'exactly ' * (limit in self._held)}held to limits.{limit}: its control "
            f"group could not be used ({error.strerror})"
            for limit, error in self._refused.items()
            if limit != "memory"  # its memory is looked at
        ]
        refused = self._count("pids.events", b"max") if "pids" in self._held else 0
        if refused:
            most = self._grant.pids
            remarks.append(f"it may have {most} processes at once, and was refused {refused} more")
        return remarks

    def _count(self, name: str, word: bytes) -> int:
        for line in linux.read_small(str(self._path / name)).splitlines():
            key, _, value = line.partition(b" ")
            if key == word:
                return int(value)
        return 0

    def remove(self) -> None:
        """Remove it. If somebody in it cannot be killed, the launcher or its next one does it."""
        self._shut()
        Cgroup(self._path).remove()

    def _shut(self) -> None:
        if self._way_out is not None:
            os.close(self._way_out)
            self._way_out = None


def unheld(grant: Grant) -> list[str]:
    """Return what a command was not held to whose shim is in no group although there are some."""
    limits = [name for name in ("pids", "cpus") if getattr(grant, name) is not None]
    if not limits:
        return []
    named = " and ".join(f"limits.{name}" for name in limits)
    return [f"it was not held to {named}: its shim could not enter a control group"]


def inside(cell: Cell | None) -> contextlib.AbstractContextManager[None]:
    """Return a block in which the shim is in a cell, if there is one."""
    return contextlib.nullcontext() if cell is None else cell.entered()
