"""The command of a job: a process that speaks, ends, and may not want to."""

import signal
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.simulation.parts.plan import Plan
from tests.simulation.world.process import Process
from worker.shim.line import Grant

if TYPE_CHECKING:
    from tests.simulation.scene import Scene


class Command:
    """One started command, with what it leaves behind."""

    def __init__(
        self,
        scene: "Scene",
        shim: Process,
        grant: Grant,
        plan: Plan,
        *,
        said: Callable[[bytes], None],
        ended: Callable[[], None],
    ) -> None:
        self._scene = scene
        self._shim = shim
        self._plan = plan
        self._heard, self._told_end = said, ended
        self._pipe: deque[bytes] = deque()
        """What it has said and its shim has not read yet."""
        machine = shim.machine
        self.process = machine.spawn(f"job-{plan.number}", parent=shim)
        self._left: Process | None = None
        self.process.attempt = (grant.job, grant.attempt)
        self._attempt = grant.attempt
        self._truth = scene.ledger.of(grant.job, grant.attempt)
        scene.started(grant, self.process)
        marks = f"ORCHESTRATOR_JOB_ID={grant.job}\0ORCHESTRATOR_ATTEMPT={grant.attempt}\0"
        if not plan.clears_environment:
            self.process.environment = marks.encode()
        if plan.ignores_term:
            self.process.signals = lambda _number: None
        self.process.watchers.append(self._died)
        self._truth.runs = True
        plan.starts += 1
        self._code = plan.code(plan.starts)
        self._begin()

    def _begin(self) -> None:
        plan, loop = self._plan, self._scene.world.loop
        if plan.leaves_child and not self.process.machine.is_crowded:
            left = self._left = self.process.machine.spawn(f"left-{plan.number}", parent=self._shim)
            left.environment = self.process.environment
            left.attempt = self.process.attempt
            left.signals = lambda _number: None
        for index in range(plan.lines):
            delay = plan.seconds * (index + 1) / (plan.lines + 1)
            loop.within_later(self.process, delay, self._say, index)
        loop.within_later(self.process, plan.seconds, self._exit)

    def _say(self, index: int) -> None:
        """Write a line; whoever reads the pipe gets it, or nobody."""
        if self._shim.alive:
            self._pipe.append(self._plan.line(self._attempt, index))
            self._scene.world.loop.within(self._shim, self._read)

    def _read(self) -> None:
        if self._pipe:
            self._heard(self._pipe.popleft())

    def read_rest(self) -> None:
        """Hear all that it has said: nobody is left who could say more."""
        while self._pipe:
            self._read()

    def _exit(self) -> None:
        self._truth.by_itself = True
        self.process.machine.end(self.process, code=self._code)

    def _died(self, process: Process) -> None:
        truth = self._truth
        truth.code, truth.signal = process.exit_code, process.signal
        truth.runs = False
        if self._shim.alive:
            self._scene.world.loop.within(self._shim, self._told_end)

    @property
    def is_heard(self) -> bool:
        """Tell whether anybody still holds its pipes."""
        return self.process.alive or (self._left is not None and self._left.alive)

    @property
    def in_group(self) -> bool:
        """Tell whether anybody of its process group lives; what it left behind is in its own."""
        return self.process.alive

    def terminate(self) -> None:
        """SIGTERM to its group."""
        self.process.machine.signal(self.process, signal.SIGTERM)

    def sweep(self) -> int:
        """Kill all that is left; return how many of them it had left behind."""
        machine = self.process.machine
        machine.kill(self.process)
        if self._left is not None and self._left.alive:
            self._scene.world.sometimes("leftovers are swept")
            machine.kill(self._left)
            return 1
        return 0
