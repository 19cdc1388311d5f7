"""A client that is not the bottleneck: HTTP/1.1 with keep-alive on plain asyncio connections.

It knows just enough of HTTP for our own server, one request at a time. A comfortable client takes
up to a millisecond for a request, which is longer than the server's whole answer.
"""

import asyncio
import json
from collections.abc import Iterator
from typing import Any, Final

TIMEOUT_S: Final = 60.0


class Refused(Exception):
    """The server answered with something other than success."""


class Connection(asyncio.Protocol):
    """One connection: one request at a time, its answer as a future."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._answer: asyncio.Future[bytes] | None = None
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def open(cls, port: int) -> "Connection":
        """Return a connection to the server on this machine."""
        loop = asyncio.get_running_loop()
        _, protocol = await loop.create_connection(cls, "127.0.0.1", port)
        return protocol

    def close(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what asyncio made for us."""
        self._transport = transport  # type: ignore[assignment]  # a TCP connection is a Transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the request that waits: a benchmark does not try again."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionError("the server closed the connection"))

    def data_received(self, data: bytes) -> None:
        """Collect one answer, and hand its body over when it is whole."""
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0 or self._answer is None or self._answer.done():
            return
        head = bytes(self._buffer[:end]).lower()
        body = _body(head, bytes(self._buffer[end + 4 :]))
        if body is None:
            return
        self._buffer.clear()  # one request at a time, so nothing follows
        if head[9:10] == b"2":
            self._answer.set_result(body)
        else:
            self._answer.set_exception(Refused(f"{head[9:12].decode()}: {body.decode()}"))

    async def call(self, request: bytes) -> bytes:
        """Send a prepared request and return the body of its answer."""
        if self._transport is None:
            raise ConnectionError("not connected")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer


def _body(head: bytes, rest: bytes) -> bytes | None:
    """Return the body of an answer, or `None` while it is not whole."""
    if b"\r\ntransfer-encoding: chunked" in head:
        return _joined(rest) if rest.endswith(b"0\r\n\r\n") else None
    length = int(head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0] or 0)
    return rest if len(rest) >= length else None


def _joined(chunks: bytes) -> bytes:
    found = b""
    while True:
        size, _, rest = chunks.partition(b"\r\n")
        length = int(size, 16)
        if length == 0:
            return found
        found += rest[:length]
        chunks = rest[length + 2 :]


class Client:
    """Prepared requests with one credential, and a few comfortable calls for what is not timed."""

    def __init__(self, port: int, key: str) -> None:
        self.port = port
        self._head = f"Host: 127.0.0.1:{port}\r\nAuthorization: Bearer {key}\r\n"

    def get(self, path: str, *headers: str) -> bytes:
        """Return the bytes of a GET request."""
        more = "".join(f"{header}\r\n" for header in headers)
        return f"GET {path} HTTP/1.1\r\n{self._head}{more}\r\n".encode()

    def post(self, path: str, body: dict[str, Any]) -> bytes:
        """Return the bytes of a POST request with a JSON body."""
        content = json.dumps(body, separators=(",", ":"))
        length = f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n"
        return f"POST {path} HTTP/1.1\r\n{self._head}{length}\r\n{content}".encode()

    async def call_all(self, requests: list[bytes], *, connections: int) -> list[bytes]:
        """Send all requests over so many connections, and return the answers in their order."""
        answers: list[bytes] = [b""] * len(requests)
        waiting = iter(enumerate(requests))
        opened = [await Connection.open(self.port) for _ in range(connections)]
        try:
            async with asyncio.timeout(TIMEOUT_S), asyncio.TaskGroup() as group:
                for connection in opened:
                    group.create_task(_drain(connection, waiting, answers))
        except ExceptionGroup as several:
            raise several.exceptions[0] from None
        finally:
            for connection in opened:
                connection.close()
        return answers

    async def json(self, path: str) -> dict[str, Any]:
        """Return what the server says at a path."""
        connection = await Connection.open(self.port)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                answer: dict[str, Any] = json.loads(await connection.call(self.get(path)))
                return answer
        finally:
            connection.close()


async def _drain(
    connection: Connection, waiting: Iterator[tuple[int, bytes]], answers: list[bytes]
) -> None:
    for number, request in waiting:
        answers[number] = await connection.call(request)
