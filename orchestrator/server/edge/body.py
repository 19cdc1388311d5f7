"""Bodies on their way in: read once, counted while they arrive, never beyond their limit.

It knows no meaning. How slowly a body may arrive is watched per connection (`connection.py`), so
that reading costs no timer here.
"""

from collections.abc import AsyncIterator, Callable

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from orchestrator.server.edge.refusals import Declined, body_too_large


async def read_body(receive: Receive, *, limit: int) -> bytes:
    """Return a whole body of at most `limit` bytes; refuse a longer one as soon as that shows."""
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    body: bytes = message.get("body", b"")
    if message.get("more_body", False):
        return await _read_rest(receive, body, limit)
    if len(body) > limit:
        raise body_too_large(limit)
    return body


async def _read_rest(receive: Receive, first: bytes, limit: int) -> bytes:
    parts = bytearray(first)
    async for part in stream_body(receive, limit=limit, already=len(first)):
        parts += part
    return bytes(parts)


async def stream_body(
    receive: Receive,
    *,
    limit: int,
    already: int = 0,
    refusal: Callable[[int], Declined] = body_too_large,
) -> AsyncIterator[bytes]:
    """Yield a body piece by piece; raise the refusal once more than `limit` bytes came in all."""
    size = already
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise refusal(limit)
        more = message.get("more_body", False)
        if part:
            yield part
