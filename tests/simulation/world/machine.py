"""A machine: clocks, a disk, pids that are used again, and the power cord."""

import itertools
import signal
from typing import TYPE_CHECKING, Final

from tests.simulation.world.disk import Disk
from tests.simulation.world.loop import started
from tests.simulation.world.process import Killed, Process

if TYPE_CHECKING:
    from tests.simulation.world.world import World

PIDS: Final = 30
EPOCH_S: Final = 1_800_000_000.0
DEADLY: Final = frozenset({signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2})


class Clocks:
    """The clocks of one machine: monotonic time stands still while it sleeps, wall time jumps."""

    def __init__(self, rate: float, wall_offset: float) -> None:
        self.rate = rate
        self.wall_offset = wall_offset
        self.set_back = 0.0
        """What all jumps backwards come to."""
        self.slept = 0.0

    def monotonic(self, now: float) -> float:
        """Return CLOCK_MONOTONIC at a moment of the world."""
        return 1000.0 + (now - self.slept) * self.rate

    def world(self, monotonic: float) -> float:
        """Return the moment of the world at which the monotonic clock shows that."""
        return (monotonic - 1000.0) / self.rate + self.slept

    def jump(self, seconds: float) -> None:
        """Let somebody set the wall clock."""
        self.wall_offset += seconds
        self.set_back += max(-seconds, 0.0)

    def wall(self, now: float) -> float:
        """Return the wall time."""
        return EPOCH_S + self.wall_offset + now


class Machine:
    """One machine. Its processes die together, and so does what was not synced."""

    def __init__(self, world: "World", name: str, clocks: Clocks) -> None:
        self.world = world
        self.name = name
        self.clocks = clocks
        self.disk = Disk(self)
        self.frozen = False
        self.is_broken = False
        """Whether no command can be started on it."""
        self.frozen_at = self.went_on = 0.0
        self.boot = 1
        self.processes: dict[int, Process] = {}
        self._used: set[int] = set()
        self._pids = itertools.cycle(range(1, PIDS + 1))

    @property
    def boot_id(self) -> str:
        """Return what tells this boot from the others."""
        return f"{self.name}-boot-{self.boot}"

    def ticks(self) -> int:
        """Return a process's start time, in hundredths of a second as Linux counts them."""
        return int((self.world.loop.now + 100.0) * 100)

    def spawn(self, name: str, parent: Process | None = None) -> Process:
        """Begin a process; whoever may meet a crowd asks for it before."""
        if len(self.processes) >= PIDS:
            raise RuntimeError(f"{self.name} has no pid left for {name}: {sorted(self.names())}")
        pid = next(pid for pid in self._pids if pid not in self.processes)
        if pid in self._used:
            self.world.sometimes("a pid is used again")
        self._used.add(pid)
        process = Process(self, name, pid, parent)
        process.context = started(process)
        self.processes[pid] = process
        return process

    def names(self) -> list[str]:
        """Return what runs here, for people."""
        return [process.name for process in self.processes.values()]

    @property
    def is_crowded(self) -> bool:
        """Tell whether there is no pid for another process."""
        return len(self.processes) >= PIDS - 1

    def end(self, process: Process, *, code: int | None = None, by: int | None = None) -> None:
        """Let a process be gone: its files are closed, its locks free, its children orphans."""
        if not process.alive:
            return
        process.alive = False
        process.exit_code, process.signal = code, by
        del self.processes[process.pid]
        loop = self.world.loop
        loop.bury(process)
        for fd in sorted(process.files):
            process.close(fd)
        process.kept.clear()
        for watcher in list(process.watchers):
            watcher(process)

    def kill(self, process: Process) -> None:
        """SIGKILL."""
        if process.alive:
            self.world.note("killed", process)
            self.end(process, by=signal.SIGKILL)

    def signal(self, process: Process, number: int) -> None:
        """Send a signal."""
        if not process.alive:
            return
        if number == signal.SIGKILL:
            self.kill(process)
        elif number == signal.SIGCONT:
            self.thaw(process)
        elif process.signals is not None:
            self.world.loop.within(process, process.signals, number)
        elif number in DEADLY:
            self.end(process, by=number)

    def freeze(self, process: Process) -> None:
        """SIGSTOP."""
        process.stopped = True

    def thaw(self, process: Process) -> None:
        """SIGCONT."""
        was, process.stopped = process.stopped, False
        process.went_on = self.world.loop.now
        if was and process.alive and not process.is_frozen:
            self.world.loop.thaw(process)

    def suspend(self) -> None:
        """Close the lid."""
        self.frozen, self.frozen_at = True, self.world.loop.now

    def resume(self) -> None:
        """Open it: as far as the monotonic clock knows, no time went by."""
        self.frozen, self.went_on = False, self.world.loop.now
        self.clocks.slept += self.world.loop.now - self.frozen_at
        for process in list(self.processes.values()):
            if process.alive and not process.is_frozen:
                self.world.loop.thaw(process)

    def power_cut(self) -> None:
        """Pull the cord: everybody dies at once, and what was not synced may be gone."""
        for process in sorted(self.processes.values(), key=lambda one: one.pid):
            process.watchers.clear()
            self.end(process, by=signal.SIGKILL)
        self.disk.crash(self.world.chance)
        self.boot += 1
        self.frozen = False

    def dies_here(self, process: Process) -> None:
        """End a process at the very place at which it is now."""
        self.end(process, by=signal.SIGKILL)
        raise Killed
