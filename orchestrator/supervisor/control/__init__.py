"""The supervisor's local control: HTTP on a socket in its state folder.

`serve` is all that the daemon needs of it.
"""

import contextlib
import logging
from typing import Final

import anyio

from orchestrator.kernel import unix_socket
from orchestrator.kernel.clock import Clock
from orchestrator.supervisor.control import http
from orchestrator.supervisor.control.events import Events
from orchestrator.supervisor.control.routes import Controlled, Routes
from orchestrator.supervisor.settings import DaemonSettings

SOCKET: Final = "control.sock"


async def serve(daemon: Controlled, clock: Clock, settings: DaemonSettings) -> None:
    """Answer at the socket in the state directory until cancelled; the caller holds its lock."""
    path = settings.state_dir / SOCKET
    root, events = logging.getLogger(), Events()
    with unix_socket.listen(path) as listening:
        root.addHandler(events)
        try:
            routes = Routes(daemon, clock, settings, events)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(http.serve, listening, routes)
                tasks.start_soon(routes.exposition.run)
        finally:
            root.removeHandler(events)
            with contextlib.suppress(OSError):
                path.unlink()
