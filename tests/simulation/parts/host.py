"""What runs on one machine: a launcher, a supervisor with its children, and who starts both again.

The supervisor keeps its workers with the real `ChildService` and its rules. The launcher has no
choice of its own: it makes shims, and it kills what dead shims leave.
"""

import json
import signal
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio

from orchestrator.kernel.bell import Bell
from orchestrator.kernel.errors import LauncherGone, LaunchFailed
from orchestrator.kernel.launching import Exit
from orchestrator.kernel.lifeline import ParentEnd
from orchestrator.supervisor.children import ChildService, Running
from orchestrator.supervisor.logic.child import Wanted
from orchestrator.supervisor.logic.patience import ChildPolicy
from orchestrator.supervisor.logic.shutdown import Phase, Push, pushed
from tests.simulation.parts.shim import Shim
from tests.simulation.parts.worker import WorkerProgram
from tests.simulation.world.machine import Machine
from tests.simulation.world.process import Process
from tests.simulation.world.sockets import End, opened, pair

if TYPE_CHECKING:
    from tests.simulation.scene import Scene

POLICY = ChildPolicy(drain_s=600.0, stop_s=30.0)
WANTED = {
    Phase.DRAINING: Wanted.DRAIN,
    Phase.INTERRUPTING: Wanted.STOP,
    Phase.LEAVING: Wanted.LEAVE,
}


class _Child:
    """A process as its supervisor sees it."""

    def __init__(self, scene: "Scene", process: Process) -> None:
        self.pid = process.pid
        self._process = process
        self._ended = scene.world.loop.create_future()
        process.watchers.append(self._tell)

    def _tell(self, process: Process) -> None:
        if not self._ended.done():
            self._ended.set_result(Exit(code=process.exit_code, signal=process.signal))

    async def wait(self) -> Exit:
        """Return how it ended."""
        how: Exit = await self._ended
        return how

    async def overdue(self) -> None:
        """Insist: here a launcher never fails to tell."""

    async def signal(self, number: int) -> None:
        """Signal it."""
        self._process.machine.signal(self._process, number)


class Host:
    """One machine with its programs."""

    def __init__(self, scene: "Scene", machine: Machine, workers: list[WorkerProgram]) -> None:
        self.scene = scene
        self.machine = machine
        self.workers = workers
        self.launcher: Process | None = None
        self.supervisor: Process | None = None
        self.running: dict[str, Process] = {}
        self.services: list[ChildService] = []
        self.wanted_up = True
        self._left_in_order = False
        self.power_cuts = self.spools_lost = self.lies = 0
        self._phase = Phase.RUNNING
        machine.disk.folders |= {"/state": None, "/work": None}
        for worker in workers:
            for name in ("", "/spool", "/workspaces"):
                machine.disk.folders[worker.folder + name] = None

    @property
    def is_up(self) -> bool:
        """Tell whether there is a supervisor."""
        return self.supervisor is not None and self.supervisor.alive

    def start(self) -> None:
        """Start the supervisor, with a launcher of its own, as a service manager does."""
        if self.is_up or not self.wanted_up:
            return
        scene = self.scene
        if self.machine.is_crowded:
            # No process can be made now: the service manager tries again.
            scene.world.sometimes("a supervisor finds no pid")
            scene.world.loop.after(scene.world.chance.uniform(0.5, 8.0), self.start)
            return
        self._phase = Phase.RUNNING
        if not self._left_in_order:
            scene.restarted_at = scene.world.loop.now
        self._left_in_order = False
        launcher = self.launcher = self.machine.spawn("launcher")
        supervisor = self.supervisor = self.machine.spawn("supervisor", parent=launcher)
        # Whoever starts us again: soon, but not at once.
        supervisor.watchers.append(lambda _: self._supervisor_died(launcher))
        launcher.watchers.append(lambda _: self._launcher_died())
        scene.world.note("supervisor starts", supervisor)
        scene.world.begin(supervisor, partial(self._supervise, supervisor, launcher))

    def _supervisor_died(self, launcher: Process) -> None:
        """Its end closes every line; the launcher ends too."""
        world = self.scene.world
        world.loop.after(0.05, self.machine.end, launcher)
        world.loop.after(world.chance.uniform(0.5, 8.0), self.start)

    def _launcher_died(self) -> None:
        for service in self.services:
            if self.is_up and self.supervisor is not None:
                self.scene.world.loop.within(self.supervisor, service.want, Wanted.LEAVE)

    def push(self, push: Push) -> None:
        """Ask the run to end, as a signal does."""
        supervisor = self.supervisor
        if supervisor is not None and supervisor.alive:
            self._phase = pushed(self._phase, push)
            for service in self.services:
                self.scene.world.loop.within(supervisor, service.want, WANTED[self._phase])

    async def _supervise(self, process: Process, launcher: Process) -> None:
        changed = Bell()
        self.services = []
        async with anyio.create_task_group() as group:
            for worker in self.workers:
                launch = partial(self._launch, process, launcher, worker)
                service = ChildService(worker.name, POLICY, launch, changed)
                self.services.append(service)
                group.start_soon(service.run)
            await changed.until(
                lambda: all(one.is_settled or one.child.is_hopeless for one in self.services)
            )
            for service in self.services:
                if service.child.is_hopeless:
                    self.scene.world.sometimes("a child is given up")
                service.want(Wanted.LEAVE)
        self._left_in_order = True
        self.machine.end(process, code=0)

    async def _launch(
        self, process: Process, launcher: Process, worker: WorkerProgram, _code: int | None
    ) -> Running:
        """Fork a worker, with a lifeline and a channel on which it gets its shims."""
        world = self.scene.world
        await world.pause(world.chance.uniform(0.01, 0.2))
        if not launcher.alive:
            raise LauncherGone("the launcher has ended")
        if self.machine.is_crowded:
            raise LaunchFailed("a fork failed: there is no pid left")
        ours, theirs = pair(world)
        asked, channel = pair(world)
        child = self.machine.spawn(worker.name, parent=launcher)
        line = ParentEnd(opened(process, ours))  # type: ignore[arg-type]
        worker_line, worker_channel = opened(child, theirs), opened(child, channel)
        fd = launcher.open(asked)
        self.running[worker.name] = child
        world.note("worker starts", child)
        world.loop.within(launcher, self._serve_channel, launcher, fd, asked)
        worker.begin(child, worker_line, worker_channel)
        # The nursery's own end takes its workers along.
        launcher.watchers.append(lambda _: self.machine.end(child, by=signal.SIGKILL))
        handle: Any = _Child(self.scene, child)
        return Running(handle, line)

    def _serve_channel(self, launcher: Process, fd: int, asked: End) -> None:
        self.scene.world.loop.add_reader(fd, self._asked, launcher, fd, asked)

    def _asked(self, launcher: Process, fd: int, asked: End) -> None:
        """Make a shim for whoever asks."""
        while asked.readable():
            data, ends = asked.receive()
            if not data:
                self.scene.world.loop.remove_reader(fd)
                launcher.close(fd)
                return
            (end,) = ends
            spool = json.loads(data)["args"]["spool"]
            if self.machine.is_crowded:
                self._let_go(end)
                continue
            process = self.machine.spawn("shim", parent=launcher)
            socket = opened(process, end)
            self._let_go(end)
            shim = Shim(self.scene, process, socket, spool)
            delay = self.scene.world.chance.uniform(0.0005, 0.004)
            self.scene.world.loop.within_later(process, delay, shim.main)

    @staticmethod
    def _let_go(end: End) -> None:
        end.holders -= 1
        if end.holders == 0:
            end.closed_by_last()
