"""The server's store: the real transaction on the world's database, at the world's pace."""

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

from orchestrator.kernel.errors import OrchestratorError, Unavailable
from orchestrator.server.store.interface import Operation, Query, Subscriber
from tests.simulation.world.process import Process

if TYPE_CHECKING:
    from tests.simulation.parts.server import Server
    from tests.simulation.world.world import World

T = TypeVar("T")
CALLS: Final = frozenset(
    {
        "open_session",
        "claim",
        "report",
        "heartbeat",
        "goodbye",
        "cancel",
        "submit",
        "hold",
        "release",
        "end_sessions",
        "hold_restored",
        "advance",
        "cancel_batch",
    }
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
        now_us = self._now_us()
        world.reach(self._process, "before_commit")
        name = _name_of(operation)
        server.operation = name if name in CALLS else "upkeep"
        result, facts = server.database.write(operation, now_us)
        if server.checkers is not None and name == "heartbeat":
            server.checkers.renewed(operation.keywords["request"].session_id)  # type: ignore[attr-defined]
        if server.checkers is not None:
            server.checkers.committed(name, now_us)
        if facts:
            for subscriber in tuple(self._subscribers):
                subscriber(facts)
        world.reach(self._process, "after_commit")
        if name == "advance":
            world.reach(self._process, "advanced")
        if world.chance.random() < CRASH_WINDOW:
            await world.pause(world.disk_latency())
        return result

    def _now_us(self) -> int:
        return round(self._server.machine.clocks.wall(self._world.loop.now) * 1_000_000)

    @staticmethod
    def _answers_early(operation: Operation[T]) -> bool:
        return bool(EARLY) and _name_of(operation) in EARLY

    def _promised(self, operation: Operation[T]) -> T:
        """Answer what will be true if nothing goes wrong: a bug, for `mutants.py` to plant."""
        server, world = self._server, self._world
        now_us = self._now_us()
        promised = server.database.rehearse(operation, now_us)
        delay = world.chance.uniform(0.01, 0.3)
        world.loop.within_later(self._process, delay, self._keep, operation)
        return promised

    def _keep(self, operation: Operation[Any]) -> None:
        now_us = self._now_us()
        with contextlib.suppress(OrchestratorError):
            _, facts = self._server.database.write(operation, now_us)
            for subscriber in tuple(self._subscribers):
                subscriber(facts)

    async def read(self, query: Query[T]) -> T:
        """Ask one committed state."""
        return self._server.database.read(query, self._now_us())

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Tell of each commit."""
        self._subscribers.append(subscriber)
        return lambda: self._subscribers.remove(subscriber)

    async def aclose(self) -> None:
        """Do nothing."""
