"""The network between machines and the server: slow, lossy, repeating, and cut in one direction.

A call is what HTTP makes of it: an answer, a refusal, a broken connection, or silence until the
caller's patience ends. A request that was delivered may have been obeyed though nobody hears so.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from orchestrator.client.answers import BY_CODE
from orchestrator.kernel.errors import (
    Broken,
    OrchestratorError,
    PeerBroken,
    ServerUnreachable,
    Unavailable,
)
from tests.simulation.world.machine import Machine
from tests.simulation.world.process import Process

if TYPE_CHECKING:
    from tests.simulation.world.world import World

Receive = Callable[[], Awaitable[dict[str, Any]]]


class Listener(Protocol):
    """Who answers calls."""

    @property
    def process(self) -> Process | None:
        """Return the process that listens, if one does."""
        ...

    async def answer(self, name: str, request: Any, receive: Receive, who: str) -> Any:
        """Answer a call."""
        ...


@dataclass(slots=True)
class Link:
    """The way between one machine and the server."""

    latency: tuple[float, float] = (0.0005, 0.005)
    drop: float = 0.0
    lose_answer: float = 0.0
    duplicate: float = 0.0
    blocked_there: int = 0
    blocked_back: int = 0
    spikes: float = 0.0


@dataclass(eq=False, slots=True)
class _Call:
    """One call under way."""

    name: str
    request: Any
    who: str
    link: Link
    future: asyncio.Future[Any]
    caller: Process
    era: int
    served_by: Process | None = None
    gone: bool = False
    disconnected: "list[asyncio.Future[None]]" = field(default_factory=list)


class Network:
    """All links, and the server at their end."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.links: dict[str, Link] = {}
        self.listener: Listener | None = None
        self.repeated_at = 0.0
        """When a request last came once more: it is as much of a fault as what repeated it."""
        self._open: dict[_Call, None] = {}
        self._era = 0

    def forget_answers(self) -> None:
        """Let no answer arrive that was given before: whoever waits for one asks again."""
        self._era += 1

    def link(self, machine: Machine) -> Link:
        """Return the link of a machine."""
        return self.links.setdefault(machine.name, Link())

    async def call(
        self, caller: Process, name: str, request: Any, *, who: str, timeout_s: float
    ) -> Any:
        """Call the server, as HTTP would."""
        loop = self._world.loop
        link = self.link(caller.machine)
        call = _Call(name, request, who, link, loop.create_future(), caller, self._era)
        patience = loop.call_later(timeout_s, _fail, call.future, f"no answer in {timeout_s:g} s")
        self._send(call, duplicate=False)
        if link.duplicate and self._world.chance.random() < link.duplicate:
            self._world.injected["duplicate"] += 1
            self._send(call, duplicate=True)
        try:
            return await call.future
        finally:
            patience.cancel()
            if call.served_by is not None and not call.gone:
                call.gone = True
                loop.after(self._delay(link), self._hang_up, call)

    def _delay(self, link: Link) -> float:
        chance = self._world.chance
        if link.spikes and chance.random() < link.spikes:
            return chance.uniform(0.1, 8.0)
        return chance.uniform(*link.latency)

    def _send(self, call: _Call, *, duplicate: bool) -> None:
        chance, link = self._world.chance, call.link
        if link.drop and chance.random() < link.drop:
            self._world.injected["drop"] += 1
            return
        delay = chance.uniform(0.001, 120.0) if duplicate else self._delay(link)
        self._world.loop.after(delay, self._arrive, call, duplicate)

    def _arrive(self, call: _Call, duplicate: bool) -> None:
        """Deliver a request."""
        link, listener = call.link, self.listener
        if link.blocked_there:
            self._world.injected["blocked"] += 1
            return
        process = None if listener is None else listener.process
        if process is None:
            if not duplicate:
                self._back(call, error=ServerUnreachable("the connection was refused"))
            return
        if duplicate:
            self._world.sometimes("a request is delivered again")
            self.repeated_at = self._world.loop.now
            call = _Call(
                call.name,
                call.request,
                call.who,
                link,
                self._world.loop.create_future(),
                process,
                self._era,
            )
            call.gone = True
        call.served_by, call.era = process, self._era
        self._open[call] = None
        self._world.loop.within(process, self._serve, call)

    def server_died(self, _process: Process | None) -> None:
        """Let the server's machine close all connections, as a kernel does."""
        calls, self._open = self._open, {}
        for call in calls:
            if not call.future.done() and not call.gone:
                self._back(call, error=ServerUnreachable("the connection was closed"))

    def _serve(self, call: _Call) -> None:
        self._world.loop.create_task(self._answer(call))

    async def _answer(self, call: _Call) -> None:
        listener = self.listener
        assert listener is not None

        async def receive() -> dict[str, Any]:
            if not call.gone:
                waiting: asyncio.Future[None] = self._world.loop.create_future()
                call.disconnected.append(waiting)
                await waiting
            return {"type": "http.disconnect"}

        try:
            reply = await listener.answer(call.name, call.request, receive, call.who)
        except OrchestratorError as error:
            if isinstance(error, Broken):
                self._world.violated("I16", f"{call.name} broke the server: {error!r}")
            self._back(call, error=_refusal(error))
        else:
            self._back(call, reply=reply)
        self._open.pop(call, None)

    def _back(
        self, call: _Call, *, reply: Any = None, error: OrchestratorError | None = None
    ) -> None:
        link, chance = call.link, self._world.chance
        if call.gone:
            return
        if link.lose_answer and chance.random() < link.lose_answer:
            self._world.injected["answer lost"] += 1
            if chance.random() < 0.5:
                return
            error = ServerUnreachable("the connection was reset")
        self._world.loop.after(self._delay(link), self._arrive_back, call, reply, error)

    def _arrive_back(self, call: _Call, reply: Any, error: OrchestratorError | None) -> None:
        if call.link.blocked_back or (error is None and call.era != self._era):
            self._world.injected["blocked"] += 1
        elif not call.future.done() and call.caller.alive:
            if error is not None:
                call.future.set_exception(error)
            else:
                call.future.set_result(reply)

    def _hang_up(self, call: _Call) -> None:
        """Tell the server that its client has gone."""
        if not call.link.blocked_there:
            for waiting in call.disconnected:
                if not waiting.done():
                    waiting.set_result(None)


def _fail(future: asyncio.Future[Any], message: str) -> None:
    if not future.done():
        future.set_exception(ServerUnreachable(message))


def _refusal(error: OrchestratorError) -> OrchestratorError:
    """Return what a client makes of a refusal."""
    if isinstance(error, Broken):
        return PeerBroken(error.message)
    plain = Unavailable if isinstance(error, Unavailable) else type(error)
    kind = BY_CODE.get(error.problem_code, plain)
    return kind(error.message, hint=error.hint, code=error.problem_code)
