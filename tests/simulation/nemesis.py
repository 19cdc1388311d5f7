"""Who breaks things: at which moments, and that everything is mended in the end.

Which kinds of faults there are is in `faults.py`; here nobody knows what they do.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.simulation.world.process import Process

if TYPE_CHECKING:
    from tests.simulation.parts.host import Host
    from tests.simulation.scene import Scene

Mend = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Fault:
    """Something is broken for so long."""

    seconds: float
    mend: Mend
    harmless: bool = False
    """Whether nothing may be lost by it."""


class Nemesis:
    """Breaks things in one scene, as its seed says."""

    def __init__(
        self,
        scene: "Scene",
        chosen: dict[str, float],
        kinds: "Mapping[str, Callable[[Nemesis], Fault | None]]",
    ) -> None:
        self._scene = scene
        self._world = scene.world
        self._chosen = chosen
        self._kinds = kinds
        self._mends: dict[int, Mend] = {}
        self._count = 0
        self._until = 0.0
        self.calm_since = 0.0
        """Since when nothing was broken that can cost anybody a lease."""

    def begin(self, until: float) -> None:
        """Break things from now on, up to a moment."""
        self._until = until
        for kind in self._chosen:
            self._plan(kind)

    def _plan(self, kind: str) -> None:
        delay = self._world.chance.expovariate(1.0 / self._chosen[kind])
        self._world.loop.after(delay, self._strike, kind)

    def _strike(self, kind: str) -> None:
        if self._world.loop.now >= self._until:
            return
        fault = self._kinds[kind](self)
        if fault is not None:
            self._world.injected[kind] += 1
            self._world.note("fault", kind, f"{fault.seconds:.2f}s")
            self._count += 1
            number = self._count
            self._mends[number] = fault.mend
            if not fault.harmless:
                self.calm_since = math.inf
            self._world.loop.after(fault.seconds, self._mend, number)
        self._plan(kind)

    def _mend(self, number: int) -> None:
        mend = self._mends.pop(number, None)
        if mend is not None:
            mend()
            if not self._mends and self.calm_since == math.inf:
                self.calm_since = self._world.loop.now

    def heal(self) -> None:
        """Mend everything."""
        self._world.traps.clear()
        for number in sorted(self._mends):
            self._mend(number)
        for link in self._scene.network.links.values():
            link.drop = link.lose_answer = link.duplicate = link.spikes = 0.0
        self._scene.server.start()
        for host in self._scene.hosts:
            # Each start of a worker meets one of them: many would keep it away for long.
            host.machine.disk.broken_syncs = 0
            host.start()

    # What the kinds of faults use.

    def seconds(self, low: float, high: float) -> float:
        """Draw a duration: short ones are as likely as long ones."""
        return float(low * (high / low) ** self._world.chance.random())

    def host(self) -> "Host":
        """Draw a machine with workers."""
        return self._world.chance.choice(self._scene.hosts)

    def process(self, *names: str) -> Process | None:
        """Draw a living process whose name begins so."""
        found = [
            process
            for host in self._scene.hosts
            for process in host.machine.processes.values()
            if process.name.startswith(names)
        ]
        return self._world.chance.choice(found) if found else None

    @property
    def scene(self) -> "Scene":
        """Return what is broken."""
        return self._scene
