"""The control server: its real operations, its real waiting and dispatch, its real upkeep.

Only HTTP is left out. It dies between a commit and its answer as easily as before the commit, and
somebody starts it again; or brings an older state of it back, as `server restore` does.
"""

from collections.abc import Callable, Sequence
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import anyio
from starlette.requests import ClientDisconnect

from orchestrator.kernel.errors import OrchestratorError, Unavailable
from orchestrator.protocol.ids import RANDOM_BYTES, make_id
from orchestrator.server.backup.restoring import hold_all
from orchestrator.server.facts import Fact
from orchestrator.server.live.bus import Bus
from orchestrator.server.live.claiming import wait_for_orders, wait_for_work
from orchestrator.server.live.dispatch import Dispatch
from orchestrator.server.operations.cancel import cancel
from orchestrator.server.operations.hold import hold, release
from orchestrator.server.operations.idempotency import IdempotencyKey, once
from orchestrator.server.operations.ownership import AttemptKey
from orchestrator.server.operations.repeat import repeat
from orchestrator.server.operations.report import report
from orchestrator.server.operations.requirements import session_requirements
from orchestrator.server.operations.restoration import LEAP
from orchestrator.server.operations.schedules import add_schedule
from orchestrator.server.operations.sessions import goodbye, open_session
from orchestrator.server.operations.submit import submit
from orchestrator.server.operations.upkeep import begin
from orchestrator.server.output_intake import OutputIntake
from orchestrator.server.output_log import OutputFiles
from orchestrator.server.reserve import Reserve
from orchestrator.server.upkeep.alarm import Alarm
from orchestrator.server.upkeep.pulse import Pulse
from orchestrator.server.upkeep.reaper import reap
from tests.simulation.parts.backups import Backup
from tests.simulation.parts.database import Database
from tests.simulation.parts.deeds import Deeds
from tests.simulation.parts.store import SimStore
from tests.simulation.world.machine import Machine
from tests.simulation.world.network import Network, Receive
from tests.simulation.world.paths import SimPath
from tests.simulation.world.process import Process

if TYPE_CHECKING:
    from tests.simulation.checkers import Checkers
    from tests.simulation.world.world import World

OUTPUTS: Any = SimPath("/outputs")
RESERVE: Any = SimPath("/outputs/reserve")


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
        self.backups: list[Backup] = []
        self._wanted: Backup | None = None
        """What is to be brought back before anything else is done."""
        self._process: Process | None = None
        self._store: SimStore | None = None
        self._intake: OutputIntake | None = None
        self.is_shared = False
        """Whether anybody gives orders to many jobs: else nobody need look for them."""
        self._deeds: Deeds | None = None
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

    def back_up(self) -> None:
        """Take a backup, while everything goes on."""
        self.backups.append(Backup.of(len(self.backups), self.database, self.machine.disk))
        self.world.note("backup", len(self.backups) - 1)

    def bring_back(self, backup: Backup) -> None:
        """End everything, and have the next start begin with a backup. What is newer is no more."""
        self.kill()
        self.network.forget_answers()
        self._wanted = backup
        del self.backups[backup.number + 1 :]

    async def _restore(self, process: Process, backup: Backup) -> None:
        """Do what `server restore` does. What dies halfway has changed nothing, and is repeated."""
        backup.bring_back(self.database, self.machine.disk)
        if self.checkers is not None:
            self.checkers.brought_back()
        leap = self.world.ids.randrange(LEAP)
        count = await hold_all(SimStore(self.world, self, process), None, leap=leap)
        self.world.note("brought back", backup.number, count)
        self.world.sometimes("a backup is brought back")
        if self.checkers is not None:
            self.checkers.held_back()
        # One that was made since is of what is no more: nobody brings back what he went back from.
        del self.backups[backup.number + 1 :]
        self._wanted = None

    async def _live(self, process: Process) -> None:
        """Serve; what cannot start ends, and is started again by whoever supervises it."""
        try:
            if self._wanted is not None:
                await self._restore(process, self._wanted)
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
        store: Any = SimStore(self.world, self, process)
        self._store = store
        # The room that is kept back is a matter of files: here a disk is full or not.
        self._intake = OutputIntake(store, OutputFiles(OUTPUTS), Reserve(RESERVE, 4))
        await store.write(begin)
        if self.checkers is not None:
            self.checkers.server_began = loop.now
        self._bus, self._dispatch, pulse = Bus(), Dispatch(), Pulse()
        self._dispatch.know(await store.read(session_requirements))
        alarm = Alarm(store, clock, self.new_id)
        ears = (self._bus, self._dispatch, alarm)

        def hear(facts: Sequence[Fact]) -> None:
            for ear in ears:
                ear.hear(facts)

        store.subscribe(hear)
        async with anyio.create_task_group() as group:
            await group.start(reap, store, clock, pulse)
            group.start_soon(alarm.run)
            self._deeds = Deeds(store, clock, self.new_id)
            if self.is_shared:
                group.start_soon(self._deeds.bulks.run)
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
                case "hold" | "release":
                    order = hold if name == "hold" else release
                    return await store.write(partial(order, ids=request, by=who))
                case "schedule":
                    new = self.new_id("schedule")
                    deed = partial(add_schedule, schedule_id=new, owner=who, spec=request)
                    return await store.write(deed)
                case "retry":
                    return await self._retry(store, request)
                case "queue" | "batch" | "bulk":
                    assert self._deeds is not None
                    return await self._deeds.do(name, request, who)
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

    async def _retry(self, store: SimStore, request: Any) -> tuple[bytes, bool]:
        key, job_id = request
        known = IdempotencyKey("people", "POST /api/v1/jobs/retry", key, job_id)
        new_id = self.new_id("job")
        deed = partial(repeat, job_id=job_id, new_id=new_id, owner="ada", spec=None)
        return await store.write(lambda tx: once(tx, known, lambda: deed(tx)))

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
            case "output":
                session_id, upload = request
                assert self._intake is not None
                key = AttemptKey(upload.key.job_id, upload.key.number, session_id)
                return await self._intake.take(
                    key, upload.offset, upload.frames, worker_id=worker_id
                )
            case "report":
                assert self._intake is not None
                await self._intake.take_large(request, worker_id=worker_id)
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
