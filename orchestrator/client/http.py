"""Calling the server: `Api` for the command line, `AsyncApi` for the worker.

The only module that imports httpx, and only when a call is near, because that import takes a
quarter of a second. Both use a bare *transport*, not httpx's client: a transport follows no
redirect, keeps no cookie, and asks neither proxy variables nor `.netrc`, so nothing has to be
switched off. It is also a fifth faster.

It retries nothing: only the caller knows what may be sent twice.
"""

import errno
import functools
import hashlib
import os
import ssl
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Final, NamedTuple, Self, TypeVar

import anyio
from pydantic import BaseModel

from orchestrator.client.answers import Answer, refusal
from orchestrator.client.endpoint import Endpoint, Params
from orchestrator.kernel.errors import ConfigInvalid, PeerBroken, ServerUnreachable

if TYPE_CHECKING:
    import httpx

T = TypeVar("T", bound=BaseModel)

CONNECT_S: Final = 10.0
"""A server that is there accepts at once; a slow network needs a few round trips."""
CALL_S: Final = 30.0
IDLE_S: Final = 60.0
"""Between two pieces of something long: four missed keep-alives of a stream."""
UPLOAD_S: Final = 300.0
"""The server looks at every byte of a large archive before it answers."""
KEEP_ALIVE_S: Final = 4.0
"""Shorter than a server keeps an idle connection (5 s is common), so that we never write into one
that it is closing."""
CONNECTION_LOST: Final = "connection_lost"
"""The code of a failure after which nobody knows whether the server got the request."""
REPLY_BYTES: Final = 256 * 1024 * 1024
"""No reply of ours is near it; it bounds what a wrong address can make us hold."""
PIECE_BYTES: Final = 1024 * 1024
JSON: Final = {"Content-Type": "application/json", "Accept": "application/json"}
RAW: Final = {"Content-Type": "application/octet-stream", "Accept": "application/json"}


class Api:
    """Synchronous calls, one at a time: the command line's."""

    def __init__(self, url: str, credential: str) -> None:
        import httpx

        self.endpoint = _endpoint(url, credential)
        self._transport = httpx.HTTPTransport(
            verify=_trust(secure=self.endpoint.secure), trust_env=False, limits=_limits(1)
        )

    def get(
        self,
        path: str,
        params: Params | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = CALL_S,
    ) -> Answer:
        """Return the answer to a GET, or raise what it stands for."""
        address = self.endpoint.address(path, params)
        request = _request(self.endpoint, "GET", address, _Sent({**JSON, **(headers or {})}))
        return self._answer(request, timeout_s)

    def post(
        self,
        path: str,
        request: BaseModel | None,
        *,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = CALL_S,
    ) -> Answer:
        """Return the answer to a POST of a model, or of nothing; or raise what it stands for."""
        body = b"" if request is None else request.model_dump_json(exclude_unset=True).encode()
        sent = _Sent({**JSON, **(headers or {})}, body)
        address = self.endpoint.address(path)
        return self._answer(_request(self.endpoint, "POST", address, sent), timeout_s)

    def patch(self, path: str, request: BaseModel, *, timeout_s: float = CALL_S) -> Answer:
        """Return the answer to a PATCH: what the model was told, and nothing else, is sent."""
        body = request.model_dump_json(exclude_unset=True).encode()
        address = self.endpoint.address(path)
        return self._answer(_request(self.endpoint, "PATCH", address, _Sent(JSON, body)), timeout_s)

    def delete(self, path: str, *, timeout_s: float = CALL_S) -> Answer:
        """Return the answer to a DELETE, which says everything by its path."""
        request = _request(self.endpoint, "DELETE", self.endpoint.address(path), _Sent(JSON))
        return self._answer(request, timeout_s)

    def upload(self, path: str, params: Params, pieces: Iterable[bytes], *, size: int) -> Answer:
        """Send `size` bytes from `pieces`, asked for as fast as the network takes them."""
        sent = _Sent({**RAW, "Content-Length": str(size)}, pieces)
        address = self.endpoint.address(path, params)
        return self._answer(_request(self.endpoint, "POST", address, sent), UPLOAD_S)

    @contextmanager
    def stream(
        self,
        path: str,
        params: Params | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        idle_s: float = IDLE_S,
    ) -> Iterator[Iterator[bytes]]:
        """Give the pieces of a long answer as they arrive; silence of `idle_s` is a lost one."""
        address = self.endpoint.address(path, params)
        request = _request(self.endpoint, "GET", address, _Sent(headers or {}))
        _set_timeouts(request, idle_s)
        with _translated(self.endpoint):
            response = self._transport.handle_request(request)
            try:
                if response.status_code >= 300:
                    _raise_refusal(_answer(request, response, _bounded(response.iter_raw())))
                yield response.iter_raw()
            finally:
                response.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Api({self.endpoint.url})"

    def _answer(self, request: "httpx.Request", timeout_s: float) -> Answer:
        _set_timeouts(request, timeout_s)
        with _translated(self.endpoint):
            response = self._transport.handle_request(request)
            try:
                answer = _answer(request, response, _bounded(response.iter_raw()))
            finally:
                response.close()
        return _raise_refusal(answer)


class AsyncApi:
    """Asynchronous calls over a pool of `connections`.

    A caller that must never queue behind another (the heartbeat) has an `AsyncApi` of its own.
    """

    def __init__(self, url: str, credential: str, *, connections: int = 8) -> None:
        import httpx

        self.endpoint = _endpoint(url, credential)
        self._transport = httpx.AsyncHTTPTransport(
            verify=_trust(secure=self.endpoint.secure), trust_env=False, limits=_limits(connections)
        )

    def identify(self, credential: str) -> None:
        """Call with another credential from now on; what is under way keeps the one it has."""
        self.endpoint = _endpoint(self.endpoint.url, credential)

    async def call(
        self, path: str, request: BaseModel, reply: type[T], *, timeout_s: float = CALL_S
    ) -> T:
        """Send a model, return the reply; `timeout_s` bounds the whole call."""
        sent = _Sent(JSON, request.model_dump_json().encode())
        posted = _request(self.endpoint, "POST", self.endpoint.address(path), sent)
        return (await self._answer(posted, timeout_s)).read(reply)

    async def post_bytes(
        self, path: str, params: Params, body: bytes, reply: type[T], *, timeout_s: float = IDLE_S
    ) -> T:
        """Send raw bytes, return the reply."""
        address = self.endpoint.address(path, params)
        posted = _request(self.endpoint, "POST", address, _Sent(RAW, body))
        return (await self._answer(posted, timeout_s)).read(reply)

    async def download(
        self, path: str, params: Params, into: Path, *, idle_s: float = IDLE_S
    ) -> str:
        """Write the answer to `into`, a new file that only we may read, and return its SHA-256.

        Whatever interrupts it, no part of a file is left behind.
        """
        request = _request(self.endpoint, "GET", self.endpoint.address(path, params), _Sent({}))
        # Outside the `try`: a file that was there before is not ours to remove.
        descriptor = os.open(into, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                async with self._response(request, idle_s) as response:
                    return await _save(response.aiter_raw(PIECE_BYTES), file)
        except BaseException:
            into.unlink(missing_ok=True)
            raise

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"AsyncApi({self.endpoint.url})"

    @asynccontextmanager
    async def _response(
        self, request: "httpx.Request", idle_s: float
    ) -> AsyncIterator["httpx.Response"]:
        _set_timeouts(request, idle_s)
        with _translated(self.endpoint):
            response = await self._transport.handle_async_request(request)
            try:
                if response.status_code >= 300:
                    _raise_refusal(_answer(request, response, await _body(response)))
                yield response
            finally:
                await response.aclose()

    async def _answer(self, request: "httpx.Request", timeout_s: float) -> Answer:
        try:
            with anyio.fail_after(timeout_s):
                async with self._response(request, timeout_s) as response:
                    return _answer(request, response, await _body(response))
        except TimeoutError:
            raise _lost(self.endpoint, f"no answer within {timeout_s:g} s") from None


@functools.cache
def _trust(*, secure: bool) -> ssl.SSLContext:
    """Return whom we believe: the machine's own certificate store, as every other program here.

    It is read once, because that takes 25 ms and a megabyte. Without encryption nothing is asked;
    the empty context that stands in believes nobody.
    """
    return ssl.create_default_context() if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _limits(connections: int) -> "httpx.Limits":
    import httpx

    return httpx.Limits(
        max_connections=connections,
        max_keepalive_connections=connections,
        keepalive_expiry=KEEP_ALIVE_S,
    )


class _Sent(NamedTuple):
    headers: Mapping[str, str]
    content: bytes | Iterable[bytes] | None = None


def _endpoint(url: str, credential: str) -> Endpoint:
    import httpx

    endpoint = Endpoint.parse(url, credential)
    try:
        httpx.URL(endpoint.url)
    except httpx.InvalidURL as error:
        raise ConfigInvalid(f"the server's address {url!r} cannot be used: {error}") from None
    return endpoint


def _request(endpoint: Endpoint, method: str, address: str, sent: _Sent) -> "httpx.Request":
    import httpx

    headers = endpoint.headers(sent.headers)
    return httpx.Request(method, address, headers=headers, content=sent.content)


def _set_timeouts(request: "httpx.Request", each_s: float) -> None:
    connect_s = min(CONNECT_S, each_s)
    request.extensions["timeout"] = {
        "connect": connect_s,
        "pool": each_s,
        "read": each_s,
        "write": each_s,
    }


def _bounded(pieces: Iterator[bytes]) -> bytes:
    body = bytearray()
    for piece in pieces:
        body += piece
        _check_size(len(body))
    return bytes(body)


async def _body(response: "httpx.Response") -> bytes:
    body = bytearray()
    async for piece in response.aiter_raw():
        body += piece
        _check_size(len(body))
    return bytes(body)


def _check_size(size: int) -> None:
    if size > REPLY_BYTES:
        raise PeerBroken(f"the server's reply is longer than {REPLY_BYTES} bytes")


def _answer(request: "httpx.Request", response: "httpx.Response", body: bytes) -> Answer:
    called = f"{request.method} {request.url.copy_with(query=None)}"
    return Answer(response.status_code, response.headers, body, called)


def _raise_refusal(answer: Answer) -> Answer:
    error = refusal(answer)
    if error is not None:
        raise error
    return answer


async def _save(pieces: AsyncIterator[bytes], file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    async for piece in pieces:
        digest.update(piece)
        await anyio.to_thread.run_sync(file.write, piece)
    return digest.hexdigest()


@contextmanager
def _translated(endpoint: Endpoint) -> Iterator[None]:
    """Turn whatever the network did into one error that names the address."""
    import httpx

    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
        raise ServerUnreachable(
            f"cannot reach the server at {endpoint.url}: {_why(error)}",
            hint="is it running? `orchestrator run --local` starts one on this machine; "
            "ORCHESTRATOR_URL says which one is called",
        ) from error
    except (httpx.TransportError, httpx.StreamError) as error:
        raise _lost(endpoint, _why(error)) from error


def _lost(endpoint: Endpoint, why: str) -> ServerUnreachable:
    return ServerUnreachable(
        f"the connection to the server at {endpoint.url} was lost: {why}",
        hint="it may be starting again, or the network is disturbed: try again",
        code=CONNECTION_LOST,
    )


def _why(error: BaseException) -> str:
    """Return the plainest cause: the operating system's word if there is one."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLError):
            return f"its certificate or encryption is refused ({seen.reason or seen})"
        if isinstance(seen, OSError) and seen.strerror:
            # asyncio writes its own words into `strerror`; a resolver's number is its own, too.
            number = seen.errno or 0
            return (os.strerror(number) if number in errno.errorcode else seen.strerror).lower()
        seen = seen.__cause__ or seen.__context__
    return str(error) or type(error).__name__
