"""A worker process: the real agent with all its services, on the world's network and disk."""

from collections.abc import AsyncIterator
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from orchestrator.kernel.errors import Broken, LauncherGone, OrchestratorError, cause
from orchestrator.kernel.lifeline import Lifeline
from orchestrator.protocol.tokens import WorkerToken
from orchestrator.protocol.wire import (
    Ack,
    ClaimReply,
    ClaimRequest,
    GoodbyeRequest,
    HeartbeatReply,
    HeartbeatRequest,
    ReportReply,
    ReportRequest,
    SessionReply,
    SessionRequest,
)
from tests.simulation.world.network import Network
from tests.simulation.world.paths import SimPath
from tests.simulation.world.process import Process
from tests.simulation.world.sockets import SimSocket
from worker.agent import Agent, Overseer, Surroundings
from worker.capacity import SPOOL_MAX_BYTES
from worker.link import CALL_S, MARGIN_S
from worker.logic.lane import Upload
from worker.orders import Order, order_of
from worker.settings import WorkerSettings
from worker.spool import Spool

if TYPE_CHECKING:
    from tests.simulation.scene import Scene


class SimLink:
    """A `Link` over the world's network."""

    url = "sim"
    local = True

    def __init__(self, network: Network, process: Process, who: str) -> None:
        self._call = partial(network.call, process, who=who)

    async def open_session(self, request: SessionRequest) -> SessionReply:
        """Begin a session."""
        reply: SessionReply = await self._call("open_session", request, timeout_s=CALL_S)
        return reply

    async def claim(self, request: ClaimRequest) -> ClaimReply:
        """Ask for attempts."""
        timeout_s = request.wait_s + MARGIN_S
        reply: ClaimReply = await self._call("claim", request, timeout_s=timeout_s)
        return reply

    async def report(self, request: ReportRequest) -> ReportReply:
        """Tell what happened."""
        reply: ReportReply = await self._call("report", request, timeout_s=CALL_S)
        return reply

    async def upload(self, session_id: str, upload: Upload) -> Ack:
        """Send much output."""
        reply: Ack = await self._call("output", (session_id, upload), timeout_s=CALL_S)
        return reply

    async def heartbeat(self, request: HeartbeatRequest) -> HeartbeatReply:
        """Renew the session."""
        timeout_s = request.wait_s + MARGIN_S
        reply: HeartbeatReply = await self._call("heartbeat", request, timeout_s=timeout_s)
        return reply

    async def goodbye(self, request: GoodbyeRequest) -> None:
        """End the session."""
        await self._call("goodbye", request, timeout_s=CALL_S)


class WorkerProgram:
    """One worker, as its process begins it each time."""

    def __init__(self, scene: "Scene", name: str, slots: int) -> None:
        self.scene = scene
        self.name = name
        self.slots = slots
        self.folder = f"/state/{name}"

    def begin(self, process: Process, line: SimSocket, channel: SimSocket) -> None:
        """Run it in a process."""
        self.scene.world.begin(process, partial(self._main, process, line, channel))

    async def _main(self, process: Process, line: SimSocket, channel: SimSocket) -> None:
        world = self.scene.world
        try:
            code = await self._work(process, line, channel)
        except OrchestratorError as error:
            code = self._code_of(error)
        except BaseExceptionGroup as group:
            found = cause(group)
            if not isinstance(found, OrchestratorError) or group.split(OrchestratorError)[1]:
                raise
            code = self._code_of(found)
        world.note("worker ends", self.name, code)
        process.machine.end(process, code=code)

    def _code_of(self, error: OrchestratorError) -> int:
        world = self.scene.world
        world.note("worker fails", self.name, error.problem_code, error.message)
        world.sometimes(f"a worker ends: {error.problem_code}")
        if isinstance(error, Broken) and not isinstance(error, LauncherGone):
            world.violated("worker", f"{self.name} broke: {error!r}")
        return error.exit_code

    async def _work(self, process: Process, line: SimSocket, channel: SimSocket) -> int:
        scene, world = self.scene, self.scene.world
        lifeline = Lifeline(line)  # type: ignore[arg-type]

        async def orders() -> AsyncIterator[Order]:
            async for message in lifeline.orders():
                if (order := order_of(message)) is not None:
                    yield order

        async def opened() -> None:
            await lifeline.tell({"state": "ready"})

        state: Any = SimPath(self.folder)
        settings = WorkerSettings.model_construct(
            name=self.name,
            server_url="sim",
            token_file=state / "token",
            working_directory=state,
            state_dir=state,
            slots=self.slots,
            tags=(),
            takeover=False,
            spool_max_bytes=SPOOL_MAX_BYTES,
            min_free_bytes=None,
            most_jobs=None,
            kill_after_s=None,
        )
        clocks = process.machine.clocks
        clock: Any = SimpleNamespace(
            now=lambda: clocks.wall(world.loop.now),
            monotonic=lambda: clocks.monotonic(world.loop.now),
        )
        spool = Spool(state / "spool")
        link: Any = SimLink(scene.network, process, self.name)
        around = Surroundings(spool, channel, {}, clock, world.chance.random)  # type: ignore[arg-type]
        token = WorkerToken("machine_sim", f"worker_{self.name}", "secret_sim")
        agent = Agent(settings, link, token, around)
        scene.agents[self.name] = agent
        try:
            return await agent.run(Overseer(orders(), opened, lifeline.tell))
        finally:
            spool.close()
