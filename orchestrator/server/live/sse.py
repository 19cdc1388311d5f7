"""Server-sent events: how they are written, sent, counted, and ended when the server stops.

It knows no job: it is given pieces of a stream that are already encoded. Many events go out in one
piece, because a piece costs a system call and an event does not.
"""

import logging
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager, suppress
from functools import partial
from typing import Final

import anyio
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from orchestrator.kernel import logs
from orchestrator.kernel.errors import Unavailable
from orchestrator.server.edge.refusals import Declined
from orchestrator.server.live.presence import unless_gone

LOGGER: Final = logging.getLogger(__name__)
PING_S: Final = 15.0
"""Proxies commonly cut what is silent for 30 or 60 seconds."""
PING: Final = b": ping\n\n"
RECONNECT: Final = b"retry: 500\n\n"
"""Said first: who loses the stream should come back soon, and goes on where it was."""
STREAMS: Final = 300
STREAMS_PER_PRINCIPAL: Final = 64
"""A person who follows a screen full of jobs, not a program that forgot to close."""
STREAM_S: Final = 3600.0
"""Then a stream ends and its reader comes back where it was: with a credential that is still good,
and not at all if it was forgotten."""
_RETRY_AFTER_S: Final = 5
_HEADERS: Final = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-store, no-transform"),
    (b"x-accel-buffering", b"no"),
)


def encode(name: str, data: str | bytes, *, id: str | None = None) -> bytes:
    """Return one event. `data` must be JSON, which has no line breaks of its own."""
    head = f"id: {id}\nevent: {name}\ndata: " if id is not None else f"event: {name}\ndata: "
    return head.encode() + (data.encode() if isinstance(data, str) else data) + b"\n\n"


class StreamLimits:
    """How many streams are open, of whom."""

    def __init__(self, *, total: int = STREAMS, per_principal: int = STREAMS_PER_PRINCIPAL) -> None:
        self._total = total
        self._per_principal = per_principal
        self._open: Counter[str] = Counter()

    @property
    def open(self) -> int:
        """Return how many are open now."""
        return self._open.total()

    @contextmanager
    def stream(self, principal: str) -> Iterator[None]:
        """Count a stream for the length of a block, or refuse it."""
        full = self.open >= self._total
        if full or self._open[principal] >= self._per_principal:
            whose = "are open on this server" if full else "are open with this credential"
            raise Declined(
                429,
                "too_many_streams",
                f"{self._total if full else self._per_principal} event streams {whose}",
                hint="close streams that nobody reads, or poll the same path without /stream",
                headers=(("retry-after", str(_RETRY_AFTER_S)),),
            )
        self._open[principal] += 1
        try:
            yield
        finally:
            self._open[principal] -= 1
            if not self._open[principal]:
                del self._open[principal]


class EventStream(Response):
    """An answer that is written as its pieces come, for as long as the client is there."""

    media_type = "text/event-stream"

    def __init__(
        self, pieces: AsyncGenerator[bytes, None], limits: StreamLimits, principal: str
    ) -> None:
        super().__init__()
        self._pieces = pieces
        self._limits = limits
        self._principal = principal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  # ASGI
        """Send the stream; it is refused before its first byte when there are too many.

        Nobody tells who sends that the client has gone, so that is listened for all the time: else
        a long backlog would be read and encoded to its end for nobody.
        """
        with self._limits.stream(self._principal), suppress(ClientDisconnect):
            await unless_gone(receive, partial(self._send, send))

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [*_HEADERS]})
        await send({"type": "http.response.body", "body": RECONNECT, "more_body": True})
        try:
            async with aclosing(self._pieces) as pieces:
                with anyio.move_on_after(STREAM_S):
                    async for piece in pieces:
                        await send({"type": "http.response.body", "body": piece, "more_body": True})
        except Unavailable as error:
            # Its status is sent, so all that can still be said is an end. It is not the end of what
            # it tells of, so its reader comes back and goes on where it was.
            logs.event(LOGGER, logging.WARNING, "stream.broke_off", why=error.message)
        await send({"type": "http.response.body", "body": b""})
