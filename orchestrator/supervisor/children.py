"""Keep a child as it is wanted: the shell around `logic/child.py`.

It launches, tells, hangs up, kills and listens, as the pure rules say, and tells the log what
became of it. It decides nothing, and does not know what its child is: a server and a worker differ
in how they are launched and in how patient one is with them.
"""

import logging
import math
import os
import signal
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

import anyio
from anyio.abc import TaskGroup

from orchestrator.kernel import logs, stacks
from orchestrator.kernel.bell import Bell
from orchestrator.kernel.errors import OrchestratorError, PeerBroken
from orchestrator.kernel.failpoints import reached
from orchestrator.kernel.launching import Child as Process
from orchestrator.kernel.launching import Exit
from orchestrator.kernel.lifeline import ParentEnd
from orchestrator.kernel.packets import Message
from orchestrator.supervisor.logic.causes import EndCause, end_cause
from orchestrator.supervisor.logic.child import (
    Appeared,
    BecameReady,
    Child,
    ChildState,
    Effect,
    Ended,
    Happening,
    Retry,
    Spoke,
    Tick,
    Want,
    Wanted,
    decide,
)
from orchestrator.supervisor.logic.patience import ChildPolicy

LOGGER: Final = logging.getLogger(__name__)
NOTES: Final = MappingProxyType(
    {
        ChildState.STARTING: (logging.INFO, "child.started"),
        ChildState.READY: (logging.INFO, "child.ready"),
        ChildState.DRAINING: (logging.INFO, "child.draining"),
        ChildState.STOPPING: (logging.INFO, "child.stopping"),
        ChildState.LEAVING: (logging.INFO, "child.left"),
        ChildState.KILLED: (logging.WARNING, "child.killed"),
        ChildState.BACKOFF: (logging.WARNING, "child.ended"),
        ChildState.PARKED: (logging.ERROR, "child.parked"),
        ChildState.DOWN: (logging.INFO, "child.stopped"),
    }
)
"""What the log says when a child comes into a state. Launching is only the way to *started*."""


@dataclass(frozen=True, slots=True)
class Running:
    """A child's process, and our end of its lifeline."""

    process: Process
    line: ParentEnd
    first: tuple[Message, ...] = ()
    """What it is told before anything else."""


Launch = Callable[[int | None], Awaitable[Running]]
"""Starts the process; it is told with which code the last one ended."""


class ChildService:
    """One child: `run` keeps it until it is down as wanted."""

    def __init__(
        self,
        name: str,
        policy: ChildPolicy,
        launch: Launch,
        changed: Bell,
        ends: Counter[EndCause] | None = None,
    ) -> None:
        self.name = name
        self.ends: Counter[EndCause] = Counter() if ends is None else ends
        """How often its process ended, and why: given by whoever has several after another."""
        self.child = Child(policy)
        self.news: Message = {}
        """What the child said when it became ready."""
        self.standing: Message = {}
        """How it says that it is; empty as long as its process has not said it."""
        self.since = -math.inf
        """When it came into its state, by the clock of the event loop."""
        self.launches = 0
        self.trouble: OrchestratorError | None = None
        """Why it could not be launched the last time."""
        self._launch = launch
        self._changed = changed
        self._running: Running | None = None
        self._launching = anyio.CancelScope()
        self._silent = anyio.Event()
        self._exit = Exit()
        self._inbox: deque[Happening] = deque()
        self._outbox: deque[Mapping[str, object] | signal.Signals] = deque()
        self._came = Bell()

    @property
    def is_ready(self) -> bool:
        """Tell whether it runs and says that it is ready."""
        return self.child.state is ChildState.READY

    @property
    def is_settled(self) -> bool:
        """Tell whether nothing will happen any more."""
        return self.child.is_settled

    @property
    def pid(self) -> int | None:
        """Return the pid of its process, while there is one."""
        return None if self._running is None else self._running.process.pid

    @property
    def ended(self) -> str | None:
        """Return in words how its last process ended, or why there was none."""
        if self.trouble is not None:
            return self.trouble.message
        if self.child.last_code is None and self._exit.signal is None:
            return None
        if self._exit.signal is not None:
            return f"its process was killed by {_signal_name(self._exit.signal)}"
        return f"its process ended with exit code {self._exit.code}"

    @property
    def grounds(self) -> tuple[object, ...]:
        """Return all that can be seen of it, each replaced and never changed in place."""
        return self.child, self.standing, self.trouble, self._exit, self._running

    def __str__(self) -> str:
        """Return what the log calls it, which may change while it lives."""
        return self.name

    def want(self, wanted: Wanted) -> None:
        """Change what is wanted of it."""
        self._happened(Want(wanted))

    def retry(self) -> None:
        """Start it now if it waits for something before it does."""
        self._happened(Retry())

    def be_patient(self, policy: ChildPolicy) -> None:
        """Be as patient with it from now on; deadlines that run already stay what they are."""
        self.child = replace(self.child, policy=policy)

    def tell(self, message: Mapping[str, object]) -> None:
        """Tell it something, after all that it was told before.

        A process that is not there yet hears it when it comes; one that ends first never does, so
        whatever must outlive it belongs into what a process is launched with.
        """
        self._outbox.append(message)
        self._came.ring()

    def dump(self) -> None:
        """Let it write its stacks into its log: by a signal, as its loop may stand still.

        Only one that was ready once is known to survive that.
        """
        if self.is_ready:
            self._outbox.append(stacks.SIGNAL)
            self._came.ring()

    async def run(self) -> None:
        """Keep it until nothing more is to be done."""
        with logs.bound(child=self):
            async with anyio.create_task_group() as tasks:
                while not self.is_settled:
                    self._take(self._inbox.popleft() if self._inbox else Tick(), tasks)
                    if not self.is_settled:
                        await self._came.until(
                            lambda: bool(self._inbox), deadline=self.child.wakes_at
                        )

    def _happened(self, happening: Happening) -> None:
        self._inbox.append(happening)
        self._came.ring()

    def _take(self, happening: Happening, tasks: TaskGroup) -> None:
        before = self.child.state
        draw = int.from_bytes(os.urandom(4), "big") / 2**32
        decision = decide(self.child, happening, now=anyio.current_time(), draw=draw)
        if isinstance(happening, Ended):
            self.ends[end_cause(self.child, happening.code, self._exit.signal)] += 1
        self.child = decision.child
        if self.child.state is not before:
            self.since = anyio.current_time()
            self._note()
        for effect in decision.effects:
            tasks.start_soon(self._perform, effect)
        self._changed.ring()

    async def _perform(self, effect: Effect) -> None:
        if effect is Effect.LAUNCH:
            return await self._live()
        if effect is Effect.ABANDON:
            return self._launching.cancel()
        running = self._running
        if running is None:
            return None  # it ended while this was on its way
        match effect:
            case Effect.TELL_DRAIN:
                reached("supervisor.draining")
                await running.line.tell({"do": "drain"})
            case Effect.TELL_STOP:
                await running.line.tell({"do": "stop"})
            case Effect.HANG_UP:
                running.line.hang_up()
            case Effect.KILL:
                await running.process.signal(signal.SIGKILL)
                # Where the launcher is gone nobody can kill it, and nobody waits for it any more.
                # Where it is stopped, this is when somebody looks after it.
                self._silent.set()
        return None

    async def _live(self) -> None:
        """See one process through, from its launch to its end."""
        self._running = running = await self._launched()
        if running is None:
            self._happened(Ended(self._exit.code))
            return
        self._silent = anyio.Event()
        reached("supervisor.spawned")
        self._happened(Appeared())
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._hear, running)
            tasks.start_soon(self._speak, running)
            tasks.start_soon(self._insist, running)
            self._exit = await running.process.wait()
            if self._exit == Exit():
                # Its launcher is gone: now only the end of its line tells of its own.
                await self._silent.wait()
            tasks.cancel_scope.cancel()
        running.line.close()
        self._running, self.standing = None, {}
        self._happened(Ended(self._exit.code))

    async def _launched(self) -> Running | None:
        """Launch the process, and return nothing when that failed or was given up."""
        self._exit, self.trouble, self._launching = Exit(), None, anyio.CancelScope()
        self.launches += 1
        self._outbox.clear()
        try:
            with self._launching:
                return await self._launch(self.child.last_code)
        except OrchestratorError as error:
            self._exit, self.trouble = Exit(code=error.exit_code), error
            logs.event(LOGGER, logging.WARNING, "child.launch_failed", why=error.message)
        return None

    async def _hear(self, running: Running) -> None:
        """Listen to the child until it is silent for good."""
        try:
            async for message in running.line.news():
                if message.get("state") == "ready":
                    self.news = message
                    self._happened(BecameReady())
                if isinstance(standing := message.get("standing"), dict):
                    self.standing = standing
                    self._happened(Spoke())
        except PeerBroken as error:
            logs.event(LOGGER, logging.ERROR, "child.spoke_nonsense", why=error.message)
            await running.process.signal(signal.SIGKILL)
        self._silent.set()

    async def _speak(self, running: Running) -> None:
        """Tell the child what it is to be told, in order, until it is gone."""
        for message in running.first:
            await running.line.tell(message)
        while True:
            await self._came.until(lambda: bool(self._outbox))
            match self._outbox.popleft():
                case signal.Signals() as number:
                    await running.process.signal(number)
                case order:
                    await running.line.tell(order)

    async def _insist(self, running: Running) -> None:
        """Wait no longer than is reasonable to be told of the end of a child that is silent."""
        await self._silent.wait()
        await running.process.overdue()

    def _note(self) -> None:
        """Say in the log what became of the child."""
        noted = NOTES.get(self.child.state)
        if noted is None:
            return
        level, name = noted
        keys: dict[str, object] = {}
        if self._running is not None:
            keys["pid"] = self._running.process.pid
        if self.child.state in {ChildState.BACKOFF, ChildState.PARKED, ChildState.DOWN}:
            keys |= {"code": self._exit.code, "signal": self._exit.signal}
        if self.child.state in {ChildState.BACKOFF, ChildState.PARKED}:
            keys["restart_in_s"] = round(max(0.0, self.child.act_at - anyio.current_time()), 1)
        if self.child.state is ChildState.KILLED and self.child.doubted:
            keys["why"] = "it said nothing for too long, so it hangs"
        busy = self._exit.code == self.child.policy.busy_code
        if self.child.state is ChildState.BACKOFF and busy:
            keys["why"] = "another process still holds its data; it is tried again until free"
        if self.child.state is ChildState.PARKED and self.trouble is not None:
            keys |= {"why": self.trouble.message, "hint": self.trouble.hint}
        logs.event(LOGGER, level, name, **keys)
        if self.child.keeps_failing:
            why, times = self.ended, self.child.failures
            logs.event(LOGGER, logging.ERROR, "child.failed_repeatedly", times=times, why=why)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
