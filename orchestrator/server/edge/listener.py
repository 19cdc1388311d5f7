"""uvicorn as one of our own services.

It knows no route: it is given an ASGI application, and a socket that listens. uvicorn's own signal
handling and its ten wake-ups a second are replaced, because a program has one place that decides
when it stops.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterator
from typing import Final

import anyio
import uvicorn
from anyio.abc import TaskStatus
from starlette.types import ASGIApp

from orchestrator.kernel.listening import BACKLOG
from orchestrator.server.edge.connection import Connection, GuardedConfig
from orchestrator.server.edge.lobby import Lobby

KEEP_ALIVE_S: Final = 30
SWEEP_S: Final = 1.0
STOP_S: Final = 1
"""What is still being answered when the server stops gets this long, and is then cut off."""
_UNWIND_S: Final = 0.5


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
