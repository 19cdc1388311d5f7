"""The server that a machine keeps beside its workers: its address, its process, and who is told.

It may be wanted otherwise while everything runs: at another address, with other data, or not at
all. Then its process is ended and another one begins; it is the same to a job, which runs on in its
shim. The address is held here over all processes of the server. What cannot be had (an address that
is taken) is told, and the server goes on as it was; if even that cannot be, there is none until
what is wanted can be had, which is tried again and again.
"""

import dataclasses
import logging
import math
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import anyio
from anyio.abc import TaskGroup

from orchestrator.kernel import logs
from orchestrator.kernel.backoff import Backoff
from orchestrator.kernel.bell import Bell
from orchestrator.kernel.errors import AlreadyRunning, OrchestratorError, StateUnavailable
from orchestrator.kernel.listening import url_of
from orchestrator.supervisor.address import listen
from orchestrator.supervisor.children import ChildService, Running
from orchestrator.supervisor.connection import connect, disconnect
from orchestrator.supervisor.launches import Launches
from orchestrator.supervisor.logic import orders
from orchestrator.supervisor.logic.child import Wanted
from orchestrator.supervisor.logic.patience import ChildPolicy
from orchestrator.supervisor.logic.wanted import LogWanted, ServerWanted

LOGGER: Final = logging.getLogger(__name__)
AGAIN: Final = Backoff()
"""The machine has one server, so nobody comes at the same time."""
TURN_S: Final = 2.0
"""How long another run may take to write its file before that is told: it is a small file."""
_LOOK_S: Final = 0.05
POLICY: Final = ChildPolicy(stop_s=10.0, ready_s=120.0)
"""A start may have a migration to do; a stop has nothing that a restart could not repeat."""


class Client(Protocol):
    """A worker of this machine that works for this server."""

    def leave(self, why: str) -> None:
        """Let its process finish what it does, and begin anew."""
        ...

    def move(self, why: str) -> None:
        """Let its process begin anew at once; jobs run on."""
        ...

    @property
    def lives(self) -> bool:
        """Tell whether it has a process."""
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """What a server has that is here."""

    wanted: ServerWanted
    listening: socket.socket


class Embedded:
    """One server after the other, as they are wanted."""

    def __init__(
        self, launches: Launches, changed: Bell, clients: Callable[[], list[Client]]
    ) -> None:
        self.service: ChildService | None = None
        self.problem: str | None = None
        """Why it is not as it is wanted."""
        self.problem_since = 0.0
        """Since when that is so, by the clock of the event loop."""
        self._launches = launches
        self._changed = changed
        self._clients = clients
        self._target: ServerWanted | None = None
        self._place: Place | None = None
        self._failures = 0
        """How often in a row there could be none at all."""
        self._try_at = math.inf
        """When that is tried again, whether or not something else is wanted."""
        self._log = LogWanted()
        self._url: str | None = None
        """Where clients were sent the last time."""
        self._was_announced = False
        """Whether the command line has ever been told of one."""
        self._closing = False

    def start(self, group: TaskGroup, first: Place | None) -> None:
        """Have one from now on, if one is wanted, and become whatever is wanted later."""
        if first is not None:
            self._target = first.wanted
            self._begin(group, first)
        group.start_soon(self._follow, group)

    def want(self, wanted: ServerWanted | None) -> None:
        """Become this."""
        self._target, self.problem, self._try_at = wanted, None, math.inf
        self._changed.ring()

    def log_as(self, wanted: LogWanted) -> None:
        """Have its log written like that, also that of the next process."""
        if (wanted.level, wanted.format) != (self._log.level, self._log.format):
            self._log = wanted
            if self.service is not None:
                self.service.tell(orders.log_as(wanted))

    @property
    def applied(self) -> ServerWanted | None:
        """Return what there is."""
        return None if self._place is None else self._place.wanted

    async def stop(self, wanted: Wanted) -> None:
        """End it for good."""
        self._closing, self._try_at = True, math.inf
        if (service := self.service) is not None:
            service.want(wanted)
            await self._changed.until(lambda: service.is_settled)

    def close(self) -> None:
        """Give up the address, and take back what the command line was told."""
        if (place := self._place) is not None:
            place.listening.close()
            disconnect(place.wanted.data_dir.parent)
            self._place = None

    def _begin(self, group: TaskGroup, place: Place) -> None:
        async def launch(_last_code: int | None) -> Running:
            running = await self._launches.launch_server(place.wanted, place.listening)
            return dataclasses.replace(running, first=(orders.log_as(self._log),))

        if self._closing:
            place.listening.close()
            return
        self._place, url = place, url_of(place.listening)
        self._launches.server_will_be_at(url)
        service = self.service = ChildService("server", POLICY, launch, self._changed)
        group.start_soon(service.run)
        group.start_soon(self._introduce, service, place.wanted)
        was, self._url = self._url, url
        if was not in {None, url}:
            for client in self._clients():
                client.move("its server is elsewhere")

    async def _introduce(self, service: ChildService, wanted: ServerWanted) -> None:
        """Tell workers and command line of the server, once it is ready."""
        await self._changed.until(lambda: service.is_ready or self.service is not service)
        if service.is_ready:
            url = str(service.news["url"])
            self._launches.server_is_at(url)
            await self._connect(service, url, wanted.data_dir)

    async def _connect(self, service: ChildService, url: str, data_dir: Path) -> None:
        """Tell the command line of the server, as soon as there is room for that.

        A start that cannot do it ends. Later it is no reason to end what works.
        """
        failures, turn_by = 0, anyio.current_time() + TURN_S
        while self.service is service and not self._closing:
            try:
                connect(data_dir.parent, url=url, server_dir=data_dir)
            except AlreadyRunning as error:
                # Who was stopped holds it for ever: no reason to end, nor to wait without a word.
                if anyio.current_time() < turn_by:
                    await anyio.sleep(_LOOK_S)
                    continue
                failures += 1
                if failures == 1:
                    _warn_unannounced(error, "let that process go on (kill -CONT), or end it")
            except StateUnavailable as error:
                if not self._was_announced:
                    raise
                failures += 1
                if failures == 1:
                    _warn_unannounced(error, error.hint)
            else:
                self._was_announced = True
                return
            await anyio.sleep(AGAIN.ceiling(failures))

    async def _follow(self, group: TaskGroup) -> None:
        while True:
            await self._changed.until(lambda: self._has_to_change, deadline=self._try_at)
            target = self._target
            if self._closing or target == self.applied:
                continue
            try:
                await self._become(group, target)
            except OrchestratorError as error:
                # Unless something else is wanted by now, which may well be had.
                if target == self._target:
                    self._note(error)
            else:
                self.problem, self._failures, self._try_at = None, 0, math.inf
                self._changed.ring()

    def _note(self, error: OrchestratorError) -> None:
        """Tell why it is not as it is wanted; without any, plan when to try again."""
        lost, known = self._place is None, self.problem == error.message
        self._try_at = math.inf
        if lost:
            self._failures += 1
            self._try_at = anyio.current_time() + AGAIN.ceiling(self._failures)
        if known:
            return
        self.problem, self.problem_since = error.message, anyio.current_time()
        goes_on = "it goes on as it was; tried again when the configuration changes"
        logs.event(
            LOGGER,
            logging.ERROR,
            "server.not_changed",
            why=error.message,
            hint=error.hint,
            next="there is none now; tried again until it can be had" if lost else goes_on,
        )
        self._changed.ring()

    @property
    def _has_to_change(self) -> bool:
        return self._target != self.applied and not self.problem and not self._closing

    async def _become(self, group: TaskGroup, target: ServerWanted | None) -> None:
        old = self._place
        if target is None:
            await self._remove()
        elif old is None:
            self._begin(group, Place(target, await _listen(target)))
        else:
            await self._replace(group, old, target)

    async def _remove(self) -> None:
        """End it when nobody needs it: a mistake in the file must not end what works."""
        await self._changed.until(lambda: not self._clients() or self._target is not None)
        if self._target is None:
            self._launches.server_is_away()
            await self._end()
            self.close()
            self.service = None

    async def _replace(self, group: TaskGroup, old: Place, target: ServerWanted) -> None:
        """End the one that is there, and begin the one that is wanted."""
        new_port, was = target.port != old.wanted.port, old.wanted
        moves = new_port or target.host != was.host
        # First what may fail, as long as nothing is lost.
        listening = await _listen(target) if new_port else old.listening
        self._launches.server_is_away()
        if was.data_dir != target.data_dir:
            # What runs is known to the old one alone.
            await self._without_clients("the server gets other data")
        await self._end()
        if moves and not new_port:
            listening = await self._listen_elsewhere(group, old, target)
        elif moves:
            old.listening.close()
        if was.data_dir != target.data_dir:
            disconnect(was.data_dir.parent)
        self._begin(group, Place(target, listening))

    async def _listen_elsewhere(
        self, group: TaskGroup, old: Place, target: ServerWanted
    ) -> socket.socket:
        """Give up the address for another one with the same port; take it back if that fails."""
        old.listening.close()
        try:
            return await _listen(target)
        except OrchestratorError as error:
            # From here on there is none: what is wanted now is not what was wanted then.
            self._place = self.service = None
            try:
                listening = await _listen(old.wanted)
            except OrchestratorError as lost:
                disconnect(old.wanted.data_dir.parent)
                both = f"{error.message}; nor can it go back: {lost.message}"
                raise StateUnavailable(both, hint=error.hint) from error
            self._begin(group, Place(old.wanted, listening))
            raise

    async def _end(self) -> None:
        if (service := self.service) is not None:
            service.want(Wanted.STOP)
            await self._changed.until(lambda: service.is_settled)

    async def _without_clients(self, why: str) -> None:
        for client in self._clients():
            client.leave(why)
        await self._changed.until(
            lambda: self._closing or not any(client.lives for client in self._clients())
        )


def _warn_unannounced(error: OrchestratorError, hint: str | None) -> None:
    logs.event(
        LOGGER,
        logging.WARNING,
        "server.not_announced",
        why=error.message,
        hint=hint,
        next="tried again; until then a command line has to be told where it is",
    )


async def _listen(wanted: ServerWanted) -> socket.socket:
    return await listen(wanted.host, wanted.port, insecure_http=wanted.insecure_http)
