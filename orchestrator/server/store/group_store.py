"""What every store of ours has in common: the way from the event loop to the writer and back.

It belongs to the event loop that writes to it first. What it promises is in `interface.py`.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

import anyio.to_thread

from orchestrator.kernel.clock import Clock
from orchestrator.kernel.failpoints import reached
from orchestrator.server.facts import Fact
from orchestrator.server.store.interface import Operation, Query, Subscriber
from orchestrator.server.store.writer import Call, Engine, Fatal, Writer

T = TypeVar("T")


class Readers(Protocol):
    """Connections for queries."""

    def read(self, query: Query[T]) -> Awaitable[T]:
        """Run a query in a thread and return its result."""
        ...

    def close(self) -> None:
        """Let go of them."""
        ...


class GroupStore:
    """A `Store` out of a writer's engine and a pool of readers."""

    def __init__(
        self,
        engine: Engine,
        readers: Readers,
        clock: Clock,
        *,
        let_go: Callable[[], None],
        fatal: Fatal,
    ) -> None:
        self._readers = readers
        self._let_go = let_go
        self._subscribers: list[Subscriber] = []
        self._writer = Writer(engine, clock, deliver=self._deliver, fatal=fatal)

    async def write(self, operation: Operation[T]) -> T:
        """Run an operation and return its result once it is durable."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._writer.submit(Call(operation, future))
        return await future

    async def read(self, query: Query[T]) -> T:
        """Run a query on one committed state and return its result."""
        return await self._readers.read(query)

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Give the facts of each commit to `subscriber`, on the loop; return what ends that."""
        self._subscribers.append(subscriber)
        return lambda: self._subscribers.remove(subscriber)

    async def aclose(self) -> None:
        """Finish what was asked, then let go of the database."""
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._close)

    def _close(self) -> None:
        self._writer.close()
        self._readers.close()
        reached("store.closing")
        self._let_go()

    def _deliver(self, calls: Sequence[Call], facts: Sequence[Fact]) -> None:
        """Wake the loop once for the whole group. Called on the writer's thread."""
        loop = calls[0].future.get_loop()
        # A closed loop has nobody left who could wait for an answer.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(self._tell, calls, facts)

    def _tell(self, calls: Sequence[Call], facts: Sequence[Fact]) -> None:
        """Answer, then tell. Nobody who was answered runs before everybody was told."""
        for call in calls:
            call.answer()
        if facts:
            for subscriber in tuple(self._subscribers):
                subscriber(facts)
