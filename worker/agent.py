"""A worker process: its one task group, its services by name, and the order of their end.

    orders ──► drain: claim nothing more, finish       stop: interrupt, then as drained
           └─► the end of the orders: leave at once; commands go on in their shims

It decides nothing about attempts and knows no call of the server.
"""

import logging
import math
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Final

import anyio
from anyio import to_thread
from anyio.abc import TaskGroup

from orchestrator import __version__
from orchestrator.kernel import host, logs
from orchestrator.kernel.bell import Bell
from orchestrator.kernel.clock import Clock
from orchestrator.kernel.errors import OrchestratorError, StateUnavailable
from orchestrator.protocol.tokens import WorkerToken
from orchestrator.protocol.wire import GoodbyeRequest, Host, Offer, SessionRequest
from worker.attempts import Attempts, Quota
from worker.canary import Canary, without_canaries
from worker.capacity import Capacity, Disk
from worker.contact import BACKOFF, BACKOFF_HERE, Contact
from worker.faults import die_after_a_start
from worker.inputs import Inputs
from worker.kinds import Kinds
from worker.kinds.command import Command
from worker.kinds.delay import Delay
from worker.link import Link
from worker.logbook import Logbook
from worker.logic.attempt import Key
from worker.logic.outcome import exit_status
from worker.orders import Allow, Ending, Identify, Order, Update, updated
from worker.pool import ShimPool
from worker.runner import Tools
from worker.services.claimer import Claimer
from worker.services.courier import UPLOADERS, Courier
from worker.services.heartbeat import Heart
from worker.services.herald import Herald, News
from worker.services.session import SessionKeeper
from worker.settings import WorkerSettings
from worker.spool import AttemptLog, Spool
from worker.standing import Standing
from worker.terms import Terms
from worker.workspace import Workspaces

LOGGER: Final = logging.getLogger(__name__)
LEFT: Final = 75
"""The exit code of a worker that nobody gives orders any more: start me again."""
REQUESTS_EACH: Final = 2**20
"""Room between the numbers of two processes' requests for a session: one a second for days."""
FAREWELL_S: Final = 10.0
"""How long a worker that has finished waits for the server's word about the last ends. What it does
not get is in the spool, and told at the next start."""
GOODBYE_S: Final = 2.0
NONE_CAME: Final = 8
"""The exit status of a worker that was to run one job, and was given none in time."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a worker gets from the process that it is: memory, shims, time and chance."""

    spool: Spool
    channel: socket.socket
    """Where shims are asked for."""
    environment: Mapping[str, str]
    """This process's own, of which jobs get some."""
    clock: Clock
    draw: Callable[[], float]
    logbook: Logbook = field(default_factory=lambda: Logbook(None))


@dataclass(frozen=True, slots=True)
class Overseer:
    """Whoever keeps this worker alive, and what passes between the two."""

    orders: AsyncIterator[Order]
    """When they end, nobody is there any more."""
    opened: Callable[[], Awaitable[None]]
    """Is told of the first session."""
    tell: Callable[[News], Awaitable[None]]
    """Is told how this worker stands, and at last what came of the jobs that it was to run."""


class Agent:
    """One worker, known to the server by `token`."""

    def __init__(
        self, settings: WorkerSettings, link: Link, token: WorkerToken, around: Surroundings
    ) -> None:
        self._settings = settings
        self._link = link
        self._token = token
        self._spool = around.spool
        self._logbook = around.logbook
        self._changed = Bell()
        self.terms = Terms(settings.live(), around.environment)
        self._capacity = Capacity(settings.slots, around.draw, self._disk())
        self._capacity.make_room = self._make_room
        self._capacity.paused = settings.paused is not None
        self._pool = ShimPool(
            around.spool,
            around.channel,
            self._capacity,
            spool_max_bytes=settings.spool_max_bytes,
        )
        self._canary = Canary(
            settings,
            terms=self.terms,
            spool=around.spool,
            channel=around.channel,
            capacity=self._capacity,
            clock=around.clock,
            changed=self._changed,
        )
        kinds: Kinds = {
            "command": Command(self._pool, self.terms),
            "delay": Delay(around.clock),
        }
        self._kinds = frozenset(kinds)
        backoff = BACKOFF_HERE if link.local else BACKOFF
        self._contact = Contact(around.draw, self._changed, backoff)
        introduction = _introduction(settings, around, self._offered())
        self._keeper = SessionKeeper(link, self._contact, around.clock, introduction)
        self._courier = Courier(link, self._keeper)
        self._workspaces = Workspaces(settings.state_dir / "workspaces")
        inputs = Inputs(link, self._keeper, self._workspaces)
        self._tools = Tools(
            settings, self.terms, kinds, inputs, self._workspaces, self._courier, around.clock
        )
        self._code = LEFT
        self._finishing = False
        self._none_came = False
        """Whether it is over because no job came in time."""

    async def run(self, overseer: Overseer) -> int:
        """Work until told to end, and return the exit code."""
        found, canaries = without_canaries(await self._spool.reattach())
        try:
            await self._serve(found, canaries, overseer)
        finally:
            self._pool.close()
        return self._code

    async def _serve(
        self, found: list[AttemptLog], canaries: list[AttemptLog], overseer: Overseer
    ) -> None:
        """Start the services, top to bottom; they end together."""
        async with anyio.create_task_group() as group:
            quota = Quota(self._settings.most_jobs, self._settings.job_id)
            attempts = Attempts(group, self._tools, self._capacity, self._changed, quota)
            attempts.adopt(found)
            # Looked for before anything is taken, removed beside all else: it may be much.
            leftovers = self._workspaces.leftovers(attempts.keys())
            heart = Heart(self._link, self._keeper, attempts)
            claimer = Claimer(self._link, self._keeper, attempts, quota.job_id)
            standing = Standing(self.terms, self._capacity, self._keeper, attempts, claimer)
            herald = Herald(standing.read, overseer.tell, self._changed)
            group.start_soon(self._spool.keep, name="spool")
            group.start_soon(self._pool.keep, name="shims")
            group.start_soon(self._capacity.keep, self._changed.ring, name="capacity")
            group.start_soon(self._keeper.run, attempts.held, attempts.judge, name="session")
            group.start_soon(heart.run, name="heartbeat")
            group.start_soon(self._courier.report, attempts, name="reports")
            for number in range(UPLOADERS):
                group.start_soon(self._courier.upload, attempts, name=f"uploads {number}")
            group.start_soon(claimer.run, name="claims")

            def reconsider() -> None:
                self._keeper.introduce(self._offered())
                heart.beat()
                claimer.reconsider(heart.beat)

            group.start_soon(self._canary.keep, canaries, reconsider, name="canary")
            group.start_soon(self._greet, overseer.opened, name="greeting")
            group.start_soon(herald.run, name="standing")
            group.start_soon(self._tidy, leftovers, name="leftovers")
            ending = _Ending(group, attempts, claimer, heart, overseer.tell)
            group.start_soon(self._obey, overseer.orders, ending, name="orders")
            if (most := self._settings.most_jobs) is not None:
                group.start_soon(self._only_some, most, ending, name="once")
            if (delay_s := self._settings.kill_after_s) is not None:
                group.start_soon(die_after_a_start, attempts, delay_s, name="fault")

    def _make_room(self) -> int:
        """Let go of what no job needs: idle shims, with what they keep, and what was put aside."""
        self._pool.dismiss_idle()
        return self._spool.clear_aside()

    async def _tidy(self, leftovers: list[Key]) -> None:
        """Remove workspaces whose attempts nobody remembers: a process was killed at their end."""
        for key in leftovers:
            try:
                await to_thread.run_sync(self._workspaces.wipe, key)
            except StateUnavailable as error:
                logs.event(LOGGER, logging.WARNING, "workspace.kept", reason=error.message)

    async def _greet(self, opened: Callable[[], Awaitable[None]]) -> None:
        await self._keeper.current()
        await self._changed.until(lambda: self._capacity.unproven is None)
        await opened()

    async def _obey(self, orders: AsyncIterator[Order], ending: "_Ending") -> None:
        """Do what we are told; when nobody tells us anything any more, leave."""
        async for order in orders:
            match order:
                case Ending():
                    logs.event(LOGGER, logging.INFO, f"worker.{order}_ordered")
                    self._take_no_more(ending)
                    if order is Ending.STOP:
                        ending.attempts.preempt()
                case Allow():
                    self._capacity.allowed = order.slots
                    ending.claimer.reconsider(ending.heart.beat)
                case Update():
                    self._update(order, ending)
                case Identify():
                    self._identify(order)
        ending.group.cancel_scope.cancel()

    def _update(self, order: Update, ending: "_Ending") -> None:
        """Go by other settings: some at once, the others from the next job on."""
        before, now = self.terms.now, updated(self.terms.now, order.settings)
        if now is None:
            return
        self.terms.take(now)
        self._logbook.take(now)
        self._capacity.resize(now.slots)
        self._capacity.paused = now.paused is not None
        self._capacity.disk = self._disk()
        self._capacity.look()
        self._pool.spool_max_bytes = now.spool_max_bytes
        offered = self._keeper.offer
        self._keeper.introduce(self._offered())
        if self._keeper.offer != offered:
            ending.heart.beat()
        ending.claimer.reconsider(ending.heart.beat)
        names = [name for name in dict(now) if getattr(now, name) != getattr(before, name)]
        self._canary.reconsider(names)
        logs.event(LOGGER, logging.INFO, "settings.updated", changed=", ".join(names) or None)

    def _identify(self, order: Identify) -> None:
        """Use another secret from the next call on; another worker's is none of ours."""
        token = WorkerToken.parse(order.token.strip())
        if token is None or not token.is_of(self._token):
            logs.event(
                LOGGER,
                logging.ERROR,
                "token.refused",
                reason=_why_refused(token, self._token),
                next="the old token is used on",
            )
            return
        if token != self._token:
            self._token = token
            self._link.identify(token)
            logs.event(LOGGER, logging.INFO, "token.renewed")

    def _disk(self) -> Disk:
        terms = self.terms.now
        return Disk(self._spool.directory, terms.spool_max_bytes, terms.min_free_bytes)

    def _offered(self) -> Offer:
        terms = self.terms.now
        kinds = self._kinds if terms.kinds is None else self._kinds.intersection(terms.kinds)
        takes = terms.paused is None and self._capacity.unproven is None
        slots = terms.slots if takes else 0
        return Offer(slots=slots, kinds=sorted(kinds), tags=list(terms.tags))

    async def _only_some(self, most: int, ending: "_Ending") -> None:
        """Ask for nothing more once so many jobs were begun, or the next one did not come."""
        attempts, number = ending.attempts, 1
        while number <= most and await self._has_begun(number, attempts):
            number += 1
        self._none_came = not attempts.begun
        self._take_no_more(ending)

    async def _has_begun(self, number: int, attempts: Attempts) -> bool:
        """Wait for a job, from when the one before it has ended; tell whether it came."""

        def begun() -> bool:
            return attempts.begun >= number

        await self._changed.until(lambda: begun() or not attempts.busy)
        wait_s = self._settings.job_wait_s
        deadline = math.inf if wait_s is None else anyio.current_time() + wait_s
        await self._changed.until(begun, deadline=deadline)
        # What was granted in time and is being made ready may yet begin, or be given back.
        await self._changed.until(lambda: begun() or not attempts.busy)
        return begun()

    def _came_of_it(self, attempts: Attempts) -> int:
        """Return the exit status that stands for the jobs."""
        if attempts.telling_end is not None:
            return exit_status(attempts.telling_end)
        unreached = self._contact.unreached
        return NONE_CAME if unreached is None else unreached.exit_code

    def _take_no_more(self, ending: "_Ending") -> None:
        ending.claimer.drain(ending.heart.beat)
        if not self._finishing:
            self._finishing = True
            ending.group.start_soon(self._finish, ending, name="farewell")

    async def _finish(self, ending: "_Ending") -> None:
        """End in order, once nothing runs: last reports, good-bye, code 0."""
        attempts = ending.attempts
        await attempts.changed.until(lambda: not attempts.busy)
        deadline = anyio.current_time() + FAREWELL_S
        await attempts.changed.until(lambda: not attempts.unsettled, deadline=deadline)
        claims = self._keeper.leave()
        # Good-bye gives back what the server believes was never started. While it has not heard of
        # all that was, that would run it again: the next session tells, or the lease ends.
        if claims is not None and not attempts.unsettled:
            with anyio.move_on_after(GOODBYE_S):
                await self._say_goodbye(claims.session_id)
        if self._settings.most_jobs is not None:
            status = self._came_of_it(attempts)
            await ending.tell({"done": {"status": status, "none": self._none_came}})
        self._code = 0
        ending.group.cancel_scope.cancel()

    async def _say_goodbye(self, session_id: str) -> None:
        try:
            await self._link.goodbye(GoodbyeRequest(session_id=session_id))
        except OrchestratorError as error:
            # It is only a courtesy: without it the server waits for the end of the lease.
            logs.event(LOGGER, logging.INFO, "session.not_closed", reason=error.message)


@dataclass(frozen=True, slots=True)
class _Ending:
    """Whom the end of a worker concerns."""

    group: TaskGroup
    attempts: Attempts
    claimer: Claimer
    heart: Heart
    tell: Callable[[News], Awaitable[None]]


def _introduction(settings: WorkerSettings, around: Surroundings, offer: Offer) -> SessionRequest:
    return SessionRequest(
        version=__version__,
        spool_id=around.spool.identity.id,
        number=around.spool.count_opening(round(around.clock.now() * 1000)) * REQUESTS_EACH,
        **dict(offer),
        host=Host(**asdict(host.facts())),
        takeover=settings.takeover,
    )


def _why_refused(told: WorkerToken | None, ours: WorkerToken) -> str:
    if told is None:
        return "what came is no worker token (machine_…:worker_…:secret_…)"
    return f"it is of {told.worker_id} on {told.machine_id}, and this worker is {ours.worker_id}"
