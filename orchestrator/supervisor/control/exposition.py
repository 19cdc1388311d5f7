"""The machine's figures at a TCP address, for a Prometheus that cannot open our socket.

It tells nobody's secrets and takes no orders: three paths, and of the health no reasons, because
whoever reaches the address may read it. An address that cannot be had is a sentence in `status`,
tried again now and then, and never the end of anything.
"""

import logging
import socket
from collections.abc import Callable
from dataclasses import replace
from http import HTTPStatus
from typing import Final

import anyio

from orchestrator.kernel import listening, logs
from orchestrator.kernel.bell import Bell
from orchestrator.kernel.errors import OrchestratorError
from orchestrator.kernel.unix_socket import Peer
from orchestrator.protocol.machine import MetricsStatus
from orchestrator.supervisor.address import bind
from orchestrator.supervisor.control import http
from orchestrator.supervisor.control.http import Handler, Request, Response, problem
from orchestrator.supervisor.logic.wanted import MetricsWanted

LOGGER: Final = logging.getLogger(__name__)
AGAIN_S: Final = 5.0
"""Whoever has the address may leave it; looking costs a system call."""
PATHS: Final = frozenset({"/metrics", "/v1/health/live", "/v1/health/ready"})
ANYBODY: Final = Peer(None, -1)
"""Who calls by TCP is nobody in particular."""
LOCAL_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})


class Exposition:
    """The address, as long as one is wanted."""

    def __init__(
        self, handler: Handler, wanted: Callable[[], MetricsWanted | None], changed: Bell
    ) -> None:
        self._handler = handler
        self._wanted = wanted
        self._changed = changed
        self._url: str | None = None
        self._trouble: str | None = None

    def status(self) -> MetricsStatus | None:
        """Return where it answers, or why it does not; nothing where nobody wants it to."""
        wanted = self._wanted()
        if wanted is None:
            return None
        address = listening.authority(wanted.host, wanted.port)
        return MetricsStatus(listen=address, url=self._url, problem=self._trouble)

    async def run(self) -> None:
        """Answer where it is wanted, until cancelled."""
        while True:
            wanted = self._wanted()
            if wanted is None:
                self._trouble = None
                await self._changed.until(lambda: self._wanted() is not None)
            elif (ours := await self._bound(wanted)) is None:
                await self._until_not(wanted, anyio.current_time() + AGAIN_S)
            else:
                await self._answer(ours, wanted)

    async def _bound(self, wanted: MetricsWanted) -> socket.socket | None:
        try:
            return await bind(wanted.host, wanted.port, insecure_http=wanted.insecure_http)
        except OrchestratorError as error:
            if error.message != self._trouble:
                hint = "choose another machine.metrics.listen, or stop what listens there"
                logs.event(
                    LOGGER, logging.WARNING, "metrics.not_exposed", why=error.message, hint=hint
                )
            self._trouble = error.message
            self._changed.ring()
            return None

    async def _answer(self, ours: socket.socket, wanted: MetricsWanted) -> None:
        with ours:
            self._url, self._trouble = f"{listening.url_of(ours)}/metrics", None
            logs.event(LOGGER, logging.INFO, "metrics.exposed", url=self._url)
            try:
                async with anyio.create_task_group() as tasks:
                    names = LOCAL_NAMES | {_written(wanted.host), _written(ours.getsockname()[0])}
                    limited = self._limited(None if wanted.insecure_http else names)
                    tasks.start_soon(http.serve, ours, limited, lambda _: ANYBODY)
                    await self._until_not(wanted)
                    tasks.cancel_scope.cancel()
            finally:
                self._url = None

    async def _until_not(self, wanted: MetricsWanted, deadline: float = float("inf")) -> None:
        await self._changed.until(lambda: self._wanted() != wanted, deadline=deadline)

    def _limited(self, names: frozenset[str] | None) -> Handler:
        """Return the handler for these names of ours; without them, for any."""

        async def answer(request: Request) -> Response:
            if request.method not in {"GET", "HEAD"} or request.path not in PATHS:
                return problem(HTTPStatus.NOT_FOUND, "not_found", "only /metrics is told here")
            if names is not None and _named(request.host) not in names:
                # A page of the web may have its own name lead to us, but cannot name us so.
                told = f"the host {request.host!r} is not this machine"
                return problem(HTTPStatus.MISDIRECTED_REQUEST, "wrong_host", told)
            response = await self._handler(request)
            if request.path == "/v1/health/ready":
                said = Response.of({"ok": response.status == HTTPStatus.OK})
                return replace(said, status=response.status)
            return response

        return answer


def _written(host: str) -> str:
    """Return a host as a Host header has it."""
    return f"[{host}]" if ":" in host else host.lower()


def _named(host: str) -> str:
    """Return the host of a Host header without its port."""
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdigit() else host).lower()
