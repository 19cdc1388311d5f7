"""HTTP/1.1 on a unix socket: one connection after the other, no framework.

h11 knows the protocol, and this moves its bytes. The supervisor lives for years on machines of
others and serves a handful of requests a day, so a web server with its tens of megabytes would be
out of proportion. It knows no route and no worker.
"""

import contextlib
import json
import logging
import os
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

import anyio
import h11
from anyio.abc import SocketStream

from orchestrator.kernel import logs, unix_socket
from orchestrator.kernel.unix_socket import Peer

LOGGER: Final = logging.getLogger(__name__)
CONNECTIONS: Final = 32
"""People and their tools; whoever comes on top waits."""
BODY_BYTES: Final = 64 * 1024
HEAD_BYTES: Final = 16 * 1024
PATIENCE_S: Final = 10.0
"""Until a request has been sent as a whole, and until a piece of an answer has been taken."""
_PIECE_BYTES: Final = HEAD_BYTES
JSON: Final = "application/json"
PROBLEM: Final = "application/problem+json"
TEXT: Final = "text/plain; charset=utf-8"
LINES: Final = "application/x-ndjson"


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody asks."""

    method: str
    path: str
    """Decoded, and without its query."""
    query: Mapping[str, str]
    body: bytes
    peer: Peer
    host: str = ""
    """By which name it was called."""


@dataclass(frozen=True, slots=True)
class Response:
    """What is answered: a body, or pieces of one as they come."""

    status: int = 200
    body: bytes = b""
    pieces: AsyncGenerator[bytes, None] | None = None
    media_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, document: object, status: int = 200, media_type: str = JSON) -> "Response":
        """Return a JSON document."""
        return cls(status, json.dumps(document).encode() + b"\n", media_type=media_type)


def problem(status: int, code: str, detail: str, hint: str | None = None) -> Response:
    """Return a refusal in the form that the control server has, too (RFC 9457)."""
    document: dict[str, Any] = {
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
    }
    return Response.of(document | ({"hint": hint} if hint else {}), status, PROBLEM)


Handler = Callable[[Request], Awaitable[Response]]
Admit = Callable[[socket.socket], Peer | None]


def own_user(connection: socket.socket) -> Peer | None:
    """Admit the user that this runs as, and root; nobody else is answered at all."""
    peer = unix_socket.peer(connection)
    if peer.uid in {0, os.geteuid()}:
        return peer
    logs.event(LOGGER, logging.WARNING, "control.refused", uid=peer.uid, pid=peer.pid)
    return None


async def serve(listening: socket.socket, handler: Handler, admit: Admit = own_user) -> None:
    """Answer whom `admit` lets in, until cancelled."""
    room = anyio.Semaphore(CONNECTIONS)
    async with anyio.create_task_group() as tasks:
        while True:
            # Before one is taken: whoever waits in the kernel's queue costs us no descriptor.
            await room.acquire()
            connection, peer = await _accepted(listening, admit)
            tasks.start_soon(_converse, connection, peer, handler, room)


async def _accepted(listening: socket.socket, admit: Admit) -> tuple[socket.socket, Peer]:
    """Return the next connection that is let in."""
    while True:
        await anyio.wait_readable(listening)
        try:
            connection, _address = listening.accept()
        except OSError as error:
            # Out of descriptors, or already gone: the next one may be luckier.
            logs.event(LOGGER, logging.WARNING, "control.accept_failed", why=error.strerror)
            await anyio.sleep(0.1)
            continue
        if (peer := admit(connection)) is not None:
            return connection, peer
        connection.close()


async def _converse(
    connection: socket.socket, peer: Peer, handler: Handler, room: anyio.Semaphore
) -> None:
    try:
        async with await SocketStream.from_socket(connection) as stream:
            with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                await _Conversation(stream, peer, handler).run()
    finally:
        room.release()


class _Conversation:
    """The requests of one connection, one after the other."""

    def __init__(self, stream: SocketStream, peer: Peer, handler: Handler) -> None:
        self._stream = stream
        self._peer = peer
        self._handler = handler
        self._state = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES)

    async def run(self) -> None:
        """Answer until somebody has enough."""
        while True:
            try:
                with anyio.fail_after(PATIENCE_S):
                    request = await self._request()
            except TimeoutError:
                return
            except h11.RemoteProtocolError as error:
                await self._refuse(problem(error.error_status_hint, "request_invalid", str(error)))
                return
            if request is None:
                return
            await self._answer(request)
            if self._state.our_state is not h11.DONE or self._state.their_state is not h11.DONE:
                return
            self._state.start_next_cycle()

    async def _request(self) -> Request | None:
        """Return the next request, or nothing when there is none any more."""
        head: h11.Request | None = None
        body = bytearray()
        while True:
            event = self._state.next_event()
            if event is h11.NEED_DATA:
                if self._state.they_are_waiting_for_100_continue:
                    go_on = h11.InformationalResponse(status_code=100, headers=[])
                    await self._send(self._state.send(go_on))
                self._state.receive_data(await self._received())
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > BODY_BYTES:
                    raise h11.RemoteProtocolError(
                        f"a body has at most {BODY_BYTES} bytes", error_status_hint=413
                    )
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                return _request(head, bytes(body), self._peer)
            else:  # it closed the connection, or stays on it in silence
                return None

    async def _received(self) -> bytes:
        try:
            return await self._stream.receive(_PIECE_BYTES)
        except anyio.EndOfStream:
            return b""

    async def _answer(self, request: Request) -> None:
        response = await self._handler(request)
        headers = [("content-type", response.media_type), ("cache-control", "no-store")]
        headers += response.headers.items()
        if response.pieces is None:
            headers.append(("content-length", str(len(response.body))))
        await self._begin(response.status, headers)
        if request.method != "HEAD":
            await self._body(response)
        await self._send(self._state.send(h11.EndOfMessage()))

    async def _body(self, response: Response) -> None:
        if response.pieces is None:
            await self._piece(response.body)
            return
        pieces = response.pieces
        async with contextlib.aclosing(pieces), anyio.create_task_group() as tasks:
            tasks.start_soon(self._leave_with_the_reader, tasks.cancel_scope)
            async for piece in pieces:
                await self._piece(piece)
            tasks.cancel_scope.cancel()

    async def _leave_with_the_reader(self, scope: anyio.CancelScope) -> None:
        """End an answer that has no end of its own when nobody is there to read it."""
        with contextlib.suppress(anyio.BrokenResourceError):
            while await self._received():
                pass
        scope.cancel()

    async def _refuse(self, response: Response) -> None:
        """Answer what was no request, if that can still be done."""
        if self._state.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            length = ("content-length", str(len(response.body)))
            kind = ("content-type", response.media_type)
            await self._begin(response.status, [kind, length, ("connection", "close")])
            await self._piece(response.body)
            await self._send(self._state.send(h11.EndOfMessage()))

    async def _begin(self, status: int, headers: list[tuple[str, str]]) -> None:
        encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers]
        await self._send(self._state.send(h11.Response(status_code=status, headers=encoded)))

    async def _piece(self, piece: bytes) -> None:
        if piece:
            await self._send(self._state.send(h11.Data(data=piece)))

    async def _send(self, data: bytes | None) -> None:
        if data:
            with anyio.move_on_after(PATIENCE_S) as scope:
                await self._stream.send(data)
            if scope.cancelled_caught:
                # Who asks and does not read is not waited for.
                raise anyio.BrokenResourceError


def _request(head: h11.Request, body: bytes, peer: Peer) -> Request:
    parts = urlsplit(head.target.decode("latin-1"))
    return Request(
        method=head.method.decode("ascii"),
        path=unquote(parts.path),
        query=dict(parse_qsl(parts.query, keep_blank_values=True)),
        body=body,
        peer=peer,
        host=next((value.decode("latin-1") for name, value in head.headers if name == b"host"), ""),
    )
