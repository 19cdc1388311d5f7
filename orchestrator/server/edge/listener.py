"""The listening socket, and uvicorn as one of our own services.

It knows no route: it is given an ASGI application. uvicorn's own signal handling and its ten
wake-ups a second are replaced, because a program has one place that decides when it stops.
"""

import asyncio
import contextlib
import ipaddress
import logging
import socket
from collections.abc import Iterator
from typing import Final

import anyio
import uvicorn
from anyio.abc import TaskStatus
from starlette.types import ASGIApp

from orchestrator.kernel.errors import ConfigInvalid, StateUnavailable
from orchestrator.server.edge.connection import Connection, GuardedConfig
from orchestrator.server.edge.lobby import Lobby

BACKLOG: Final = 2048
KEEP_ALIVE_S: Final = 30
SWEEP_S: Final = 1.0
STOP_S: Final = 1
"""What is still being answered when the server stops gets this long, and is then cut off."""
_UNWIND_S: Final = 0.5


def bind(host: str, port: int, *, insecure_http: bool) -> socket.socket:
    """Return a bound socket; refuse an address that others can reach, unless that was asked for.

    Without TLS every credential would cross the network readable.
    """
    family, address = _resolve(host, port)
    if not insecure_http and not ipaddress.ip_address(address[0].split("%")[0]).is_loopback:
        raise ConfigInvalid(
            f"{host} can be reached from other machines, and plain HTTP would show every key",
            hint="listen on 127.0.0.1 (behind a proxy with TLS), or say --insecure-http",
        )
    # The protocol is named because asyncio sends small answers at once (TCP_NODELAY) only on a
    # socket that names it. Otherwise each answer waits 40 ms for an acknowledgement.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind(address)
        listening.listen(BACKLOG)  # here, so that a taken port shows before anything is started
    except OSError as error:
        listening.close()
        raise StateUnavailable(
            f"cannot listen on {host}:{port}: {error.strerror}",
            hint="stop what uses that port, or choose another with --listen",
        ) from error
    listening.setblocking(False)
    return listening


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, tuple[str, int]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise ConfigInvalid(
            f"{host!r} is not an address of this machine: {error.strerror}",
            hint="give an address such as 127.0.0.1:8700",
        ) from error
    # IPv4 first, so that `localhost` means the same address everywhere.
    family, _, _, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    return family, (str(address[0]), int(address[1]))


def url_of(listening: socket.socket) -> str:
    """Return the address by which this machine itself reaches a socket."""
    host, port = listening.getsockname()[:2]
    parsed = ipaddress.ip_address(host)
    if parsed.is_unspecified:
        host = "127.0.0.1" if parsed.version == 4 else "::1"
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


class Listener(uvicorn.Server):
    """uvicorn inside our task group: it starts, says so, and ends when it is told to."""

    def __init__(self, app: ASGIApp, listening: socket.socket) -> None:
        super().__init__(
            GuardedConfig(
                app,
                Lobby(),
                http=Connection,
                ws="none",
                loop="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,  # a forwarded header is believed from nobody
                server_header=False,
                backlog=BACKLOG,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=STOP_S,
            )
        )
        # Its warnings can be provoked by anybody at any rate; what matters is logged by us.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        self._listening = listening
        self._stopping = anyio.Event()
        self._status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED

    async def run_service(
        self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve until `stop()`; say *started* once connections are accepted."""
        self._status = task_status
        await self.serve([self._listening])
        await self._unwind()

    async def _unwind(self) -> None:
        """Let requests that were cut off put away what they had open, before it is closed."""
        over = anyio.Event()
        tasks = set(self.server_state.tasks)

        def ended(task: asyncio.Task[None]) -> None:
            tasks.discard(task)
            if not tasks:
                over.set()

        for task in tuple(tasks):
            task.add_done_callback(ended)
        with anyio.move_on_after(_UNWIND_S):
            if tasks:
                await over.wait()

    def stop(self) -> None:
        """Take no more connections, finish what is under way, then end."""
        self.should_exit = True
        self._stopping.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the program."""
        yield

    async def main_loop(self) -> None:
        """Wake once a second: for the Date header, and to look after connections."""
        await self.on_tick(0)
        self._status.started()
        while not self.should_exit:
            with anyio.move_on_after(SWEEP_S):
                await self._stopping.wait()
            await self.on_tick(0)
            self._sweep(anyio.current_time())

    def _sweep(self, now: float) -> None:
        for connection in list(self.server_state.connections):
            if isinstance(connection, Connection):
                connection.sweep(now)
