"""The control server: its real operations, its real waiting and dispatch, its real upkeep.

Only HTTP is left out. It dies between a commit and its answer as easily as before the commit, and
somebody starts it again.
"""

import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, TypeVar

import anyio
from starlette.requests import ClientDisconnect

from orchestrator.kernel.errors import OrchestratorError, Unavailable
from orchestrator.protocol.ids import RANDOM_BYTES, make_id
from orchestrator.server.facts import Fact
from orchestrator.server.live.bus import Bus
from orchestrator.server.live.claiming import wait_for_orders, wait_for_work
from orchestrator.server.live.dispatch import Dispatch
from orchestrator.server.operations.cancel import cancel
from orchestrator.server.operations.idempotency import IdempotencyKey, once
from orchestrator.server.operations.report import report
from orchestrator.server.operations.requirements import session_requirements
from orchestrator.server.operations.sessions import goodbye, open_session
from orchestrator.server.operations.submit import submit
from orchestrator.server.operations.upkeep import begin
from orchestrator.server.store.interface import Operation, Query, Subscriber
from orchestrator.server.upkeep.alarm import Alarm
from orchestrator.server.upkeep.pulse import Pulse
from orchestrator.server.upkeep.reaper import reap
from tests.simulation.parts.database import Database
from tests.simulation.world.machine import Machine
from tests.simulation.world.network import Network, Receive
from tests.simulation.world.process import Process

if TYPE_CHECKING:
    from tests.simulation.checkers import Checkers
    from tests.simulation.world.world import World

T = TypeVar("T")
CALLS: Final = frozenset(
    {"open_session", "claim", "report", "heartbeat", "goodbye", "cancel", "submit"}
)
CRASH_WINDOW: Final = 0.3
"""How often a process that has committed may be met before it says so."""


EARLY: frozenset[str] = frozenset()
"""What is answered before it is durable: nothing, unless a bug is planted."""


def _name_of(operation: Operation[Any]) -> str:
    function = getattr(operation, "func", operation)
    name = str(getattr(function, "__name__", ""))
    return "submit" if name == "<lambda>" else name


class SimStore:
    """A `Store`: a commit takes a moment, and so may its answer."""

    def __init__(self, world: "World", server: "Server", process: Process) -> None:
        self._world = world
        self._server = server
        self._process = process
        self._subscribers: list[Subscriber] = []

    async def write(self, operation: Operation[T]) -> T:
        """Commit an operation, then tell."""
        world, server = self._world, self._server
        if self._answers_early(operation):
            return self._promised(operation)
        await world.pause(world.disk_latency())
        if server.disk_full:
            world.injected["server disk full"] += 1
            raise Unavailable("the disk is full: nothing was stored", code="storage_full")
        now_us = round(server.machine.clocks.wall(world.loop.now) * 1_000_000)
        world.reach(self._process, "before_commit")
        name = _name_of(operation)
        server.operation = name if name in CALLS else "upkeep"
        result, facts = server.database.write(operation, now_us)
        if server.checkers is not None and name == "heartbeat":
            server.checkers.renewed(operation.keywords["request"].session_id)  # type: ignore[attr-defined]
        if facts:
            for subscriber in tuple(self._subscribers):
                subscriber(facts)
        world.reach(self._process, "after_commit")
        if world.chance.random() < CRASH_WINDOW:
            await world.pause(world.disk_latency())
        return result

    @staticmethod
    def _answers_early(operation: Operation[T]) -> bool:
        return bool(EARLY) and _name_of(operation) in EARLY

    def _promised(self, operation: Operation[T]) -> T:
        """Answer what will be true if nothing goes wrong: a bug, for `mutants.py` to plant."""
        server, world = self._server, self._world
        now_us = round(server.machine.clocks.wall(world.loop.now) * 1_000_000)
        promised = server.database.rehearse(operation, now_us)
        delay = world.chance.uniform(0.01, 0.3)
        world.loop.within_later(self._process, delay, self._keep, operation)
        return promised

    def _keep(self, operation: Operation[Any]) -> None:
        now_us = round(self._server.machine.clocks.wall(self._world.loop.now) * 1_000_000)
        with contextlib.suppress(OrchestratorError):
            _, facts = self._server.database.write(operation, now_us)
            for subscriber in tuple(self._subscribers):
                subscriber(facts)

    async def read(self, query: Query[T]) -> T:
        """Ask one committed state."""
        return self._server.database.read(query)

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Tell of each commit."""
        self._subscribers.append(subscriber)
        return lambda: self._subscribers.remove(subscriber)

    async def aclose(self) -> None:
        """Do nothing."""


class Server:
    """The server of a world, through all its lives."""

    def __init__(
        self,
        world: "World",
        machine: Machine,
        network: Network,
        database: Database,
    ) -> None:
        self.world = world
        self.machine = machine
        self.network = network
        self.database = database
        self.disk_full = False
        self.workers: dict[str, str] = {}
        """Name → id, of those that are enrolled."""
        self.checkers: Checkers | None = None
        self.operation = ""
        """Whose transaction it is: a call's name, or `upkeep`."""
        self._process: Process | None = None
        self._store: SimStore | None = None
        self._bus = Bus()
        self._dispatch = Dispatch()
        self._ready = False

    @property
    def process(self) -> Process | None:
        """Return the process that listens."""
        process = self._process
        return process if process is not None and process.alive and self._ready else None

    @property
    def is_up(self) -> bool:
        """Tell whether there is a process, listening or not."""
        return self._process is not None and self._process.alive

    def start(self) -> None:
        """Start it, unless it is there."""
        if self.is_up:
            return
        process = self._process = self.machine.spawn("server")
        self._ready = False
        process.watchers.append(self.network.server_died)
        self.world.note("server starts", process)
        self.world.begin(process, partial(self._live, process))

    def kill(self) -> None:
        """Kill it."""
        if self._process is not None:
            self.machine.kill(self._process)

    def freeze(self) -> Callable[[], None] | None:
        """Stop it; return what lets it go on."""
        process = self._process
        if process is None or not process.alive:
            return None
        self.machine.freeze(process)
        return lambda: self.machine.thaw(process)

    async def _live(self, process: Process) -> None:
        """Serve; what cannot start ends, and is started again by whoever supervises it."""
        try:
            await self._serve(process)
        except Unavailable as error:
            self.world.note("server fails", error.message)
            self.world.loop.after(1.0, self.start)
            self.machine.end(process, code=error.exit_code)

    async def _serve(self, process: Process) -> None:
        clocks, loop = self.machine.clocks, self.world.loop
        clock = SimpleNamespace(
            now=lambda: clocks.wall(loop.now), monotonic=lambda: clocks.monotonic(loop.now)
        )
        store = self._store = SimStore(self.world, self, process)
        await store.write(begin)
        if self.checkers is not None:
            self.checkers.server_began = loop.now
        self._bus, self._dispatch, pulse = Bus(), Dispatch(), Pulse()
        self._dispatch.know(await store.read(session_requirements))
        alarm = Alarm(store, clock)
        ears = (self._bus, self._dispatch, alarm)

        def hear(facts: Sequence[Fact]) -> None:
            for ear in ears:
                ear.hear(facts)

        store.subscribe(hear)
        async with anyio.create_task_group() as group:
            await group.start(reap, store, clock, pulse)
            group.start_soon(alarm.run)
            self._ready = True

    def new_id(self, prefix: str) -> str:
        """Return an id of the seed's."""
        at_ms = int(self.machine.clocks.wall(self.world.loop.now) * 1000)
        return make_id(prefix, at_ms=at_ms, random=self.world.ids.randbytes(RANDOM_BYTES))

    async def answer(self, name: str, request: Any, receive: Receive, who: str) -> Any:
        """Answer a call, as the route of that name does."""
        store = self._store
        assert store is not None
        self.world.note("call", name, who)
        try:
            match name:
                case "submit":
                    return await self._submit(store, request)
                case "cancel":
                    job_id, force = request
                    return await store.write(partial(cancel, job_id=job_id, by=who, force=force))
                case _:
                    return await self._worker_call(store, name, request, receive, who)
        except ClientDisconnect:
            raise Unavailable("nobody waits for this answer") from None
        except OrchestratorError as error:
            self.world.note("refused", name, who, error.problem_code)
            self.world.sometimes(f"refused: {error.problem_code}")
            raise

    async def _submit(self, store: SimStore, request: Any) -> tuple[bytes, bool]:
        key, body_sha256, spec = request
        known = IdempotencyKey("people", "POST /api/v1/jobs", key, body_sha256)
        job_id = self.new_id("job")
        return await store.write(
            lambda tx: once(tx, known, lambda: submit(tx, job_id=job_id, owner="ada", spec=spec))
        )

    async def _worker_call(
        self, store: SimStore, name: str, request: Any, receive: Receive, who: str
    ) -> Any:
        worker_id = self.workers[who]
        match name:
            case "open_session":
                new = self.new_id("session")
                return await store.write(
                    partial(open_session, request=request, worker_id=worker_id, session_id=new)
                )
            case "claim":
                reply = await wait_for_work(
                    store, self._dispatch, request, receive, worker_id=worker_id
                )
                for grant in reply.grants:
                    if self.checkers is not None:
                        self.checkers.granted(request.session_id, grant.job_id, grant.attempt)
                return reply
            case "report":
                told = await store.write(partial(report, request=request, worker_id=worker_id))
                if self.checkers is not None:
                    settled = {(ack.job_id, ack.attempt) for ack in told.acks if ack.settled}
                    self.checkers.reported(request, settled)
                return told
            case "heartbeat":
                return await wait_for_orders(
                    store, self._bus, request, receive, worker_id=worker_id
                )
            case _:
                return await store.write(partial(goodbye, request=request, worker_id=worker_id))
