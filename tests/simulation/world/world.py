"""A world: its time, its chance, its machines, and the trace of what happened in it."""

import asyncio
import random
import zlib
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from anyio import lowlevel
from anyio._backends import _asyncio

from tests.simulation.world.loop import VirtualLoop
from tests.simulation.world.machine import Clocks, Machine
from tests.simulation.world.process import Process

STORY: Final = 4000
"""Lines of a story that are kept: the last ones tell what went wrong."""


class World:
    """Everything of one seed."""

    def __init__(self, seed: int, *, telling: bool = False) -> None:
        self.seed = seed
        self.chance = random.Random(f"world {seed}")
        self.ids = random.Random(f"ids {seed}")
        self.loop = VirtualLoop()  # type: ignore[abstract]
        self.machines: list[Machine] = []
        self.seen: Counter[str] = Counter()
        """Which situations came up: the `sometimes` list."""
        self.injected: Counter[str] = Counter()
        self.violations: list[str] = []
        self.trace = 0
        self.telling = telling
        self.story: list[str] = []
        self.traps: dict[str, Callable[[Process], None]] = {}
        """What happens to a process at a named place."""
        self._fds = 3

    def machine(self, name: str, *, rate: float = 1.0, wall_offset: float = 0.0) -> Machine:
        """Add a machine."""
        machine = Machine(self, name, Clocks(rate, wall_offset))
        self.machines.append(machine)
        return machine

    def new_fd(self) -> int:
        """Return a descriptor that nobody else has: anyio keeps one table for the loop."""
        self._fds += 1
        return self._fds

    def note(self, what: str, *about: object) -> None:
        """Let something be a part of the trace, and of the story if one is told."""
        line = f"{self.loop.now:.6f} {what} {' '.join(map(str, about))}"
        self.trace = zlib.crc32(line.encode(), self.trace)
        if self.telling:
            self.story.append(line)
            del self.story[:-STORY]

    def sometimes(self, situation: str) -> None:
        """Note that a situation came up which the simulation must not miss."""
        self.seen[situation] += 1

    def violated(self, rule: str, detail: str) -> None:
        """Note that something is wrong, for good."""
        self.note("VIOLATED", rule, detail)
        self.violations.append(f"{rule}: {detail}")

    def reach(self, process: Process, place: str) -> None:
        """Note that a process comes to a named place: a trap may be set there."""
        trap = self.traps.get(place)
        if trap is not None:
            trap(process)

    def disk_latency(self) -> float:
        """Return how long a disk takes now."""
        return self.chance.uniform(0.0005, 0.004)

    async def pause(self, seconds: float) -> None:
        """Let a process wait. Cheaper than anyio's sleep, and all that most waits need."""
        future: asyncio.Future[None] = self.loop.create_future()
        handle = self.loop.call_later(seconds, _finish, future)
        try:
            await future
        finally:
            handle.cancel()

    def run(self, seconds: float, done: Callable[[], bool] = lambda: False) -> None:
        """Let things happen for that long, or until `done`, or until something is wrong."""
        loop = self.loop
        asyncio._set_running_loop(loop)
        try:
            loop.run_until(loop.now + seconds, lambda: bool(self.violations) or done())
        finally:
            asyncio._set_running_loop(None)
        if loop.fault is not None:
            raise loop.fault

    def end(self) -> None:
        """Let everybody be gone."""
        asyncio._set_running_loop(self.loop)
        try:
            for machine in self.machines:
                for process in sorted(machine.processes.values(), key=lambda one: one.pid):
                    process.watchers.clear()
                    machine.end(process)
        finally:
            asyncio._set_running_loop(None)
        # What was killed never left its scopes, and these tables would remember it for ever.
        _asyncio._task_states.clear()
        for name in ("_all_tasks", "_scheduled_tasks"):
            # Tasks of many worlds have the same numbers, and would be searched for each other.
            getattr(asyncio.tasks, name, set()).clear()
        lowlevel._run_vars.clear()

    def begin(self, process: Process, main: Callable[[], Any]) -> None:
        """Start a program in a process."""
        self.loop.within(process, self._begin, main)

    def _begin(self, main: Callable[[], Any]) -> None:
        self.loop.create_task(main())


def _finish(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
