"""A real server in a test's own task group: real sockets, a real database, real files.

Everything is asked over HTTP, with httpx or with bytes on a socket. Only the clock can be replaced.
"""

import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio
import httpx
from anyio.abc import SocketStream

from orchestrator.client.sse import EventReader, ServerSentEvent
from orchestrator.kernel import lifeline
from orchestrator.kernel.clock import Clock, SystemClock
from orchestrator.kernel.listening import bind
from orchestrator.protocol.tokens import make_token, token_hash
from orchestrator.protocol.words import Scope
from orchestrator.server.app import opened_services, run_services
from orchestrator.server.operations.keys import NewKey, create_key
from orchestrator.server.services import Services
from orchestrator.server.settings import ServerSettings

TIMEOUT = httpx.Timeout(10)


@dataclass
class Site:
    """A running server, and ways to ask it something."""

    url: str
    folder: Path
    services: Services
    http: httpx.AsyncClient
    stop: anyio.Event

    @property
    def address(self) -> tuple[str, int]:
        """Return where it listens."""
        host, port = self.url.removeprefix("http://").rsplit(":", 1)
        return host, int(port)

    def key(self, name: str = "admin") -> str:
        """Return one of the keys that the first start made."""
        return (self.folder / f"{name}.key").read_text().strip()

    @property
    def admin(self) -> dict[str, str]:
        """Return the headers of its administrator."""
        return bearer(self.key())

    async def new_key(self, *scopes: Scope, prefix: str = "pak") -> str:
        """Return a new key with these scopes."""
        token = make_token(prefix, self.services.chance.take(32))
        key = NewKey(
            self.services.new_id("key"), f"key {token[4:8]}", token_hash(token), frozenset(scopes)
        )
        await self.services.store.write(lambda tx: create_key(tx, key))
        return token

    async def get(self, path: str, **headers: str) -> httpx.Response:
        """Ask as the administrator."""
        return await self.http.get(path, headers={**self.admin, **headers})

    async def post(self, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """Send JSON, or bytes as they are, as the administrator."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Content-Type": "application/json", **self.admin, **headers}
        return await self.http.post(path, content=content, headers=sent)

    async def call(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> httpx.Response:
        """Return the answer to a request of any method, with a JSON body if there is one."""
        sent = {**self.admin, **headers}
        return await self.http.request(method, path, json=body, headers=sent)

    async def submit(self, job: dict[str, Any], **headers: str) -> str:
        """Submit a job and return its id."""
        answer = await self.post("/api/v1/jobs", job, **headers)
        assert answer.status_code == 201, answer.text
        job_id: str = answer.json()["id"]
        return job_id

    async def job(self, job_id: str) -> dict[str, Any]:
        """Return a job."""
        answer = await self.get(f"/api/v1/jobs/{job_id}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    @asynccontextmanager
    async def stream(
        self, path: str, **headers: str
    ) -> AsyncIterator[AsyncIterator[ServerSentEvent]]:
        """Give the events of a stream as they come."""
        sent = {**self.admin, **headers}
        async with self.http.stream("GET", path, headers=sent) as answer:
            assert answer.status_code == 200, await answer.aread()
            assert answer.headers["content-type"].startswith("text/event-stream")
            yield events_of(answer.aiter_raw())

    @asynccontextmanager
    async def socket(self) -> AsyncIterator[SocketStream]:
        """Give a bare connection."""
        async with await anyio.connect_tcp(*self.address) as stream:
            yield stream

    async def raw(self, data: bytes) -> bytes:
        """Send bytes, and return everything that comes back until the server hangs up."""
        async with self.socket() as stream:
            await stream.send(data)
            return await everything(stream)


async def everything(stream: SocketStream) -> bytes:
    """Return what comes until the other side hangs up."""
    received = b""
    while True:
        try:
            received += await stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return received


def bearer(key: str) -> dict[str, str]:
    """Return the headers of who has a key."""
    return {"Authorization": f"Bearer {key}"}


async def events_of(pieces: AsyncIterator[bytes]) -> AsyncIterator[ServerSentEvent]:
    """Yield the events in a stream of bytes, with the client's own reader of whole blocks."""
    reader = EventReader()
    rest = b""
    async for piece in pieces:
        *blocks, rest = (rest + piece).split(b"\n\n")
        for block in blocks:
            for event in reader.events([block + b"\n\n"]):
                yield event


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Return the problem that an answer is, after looking whether it is one."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    told: dict[str, Any] = answer.json()
    assert told["code"] == code, told
    assert told["status"] == status
    assert told["detail"]
    assert told["request_id"] == answer.headers["x-request-id"]
    for secret in ("Traceback", "site-packages", "SELECT", "/orchestrator/"):
        assert secret not in answer.text
    return told


@asynccontextmanager
async def running(
    folder: Path, *, clock: Clock | None = None, **settings: Any
) -> AsyncIterator[Site]:
    """Give a server with its data in `folder`; everything of it ends with the block."""
    chosen = replace(ServerSettings(folder, port=0), **settings)
    listening = bind(chosen.host, chosen.port, insecure_http=chosen.insecure_http)
    parent, theirs = lifeline.pair()
    line = lifeline.Lifeline(theirs)
    stop = anyio.Event()

    async def order_stop() -> None:
        await stop.wait()
        await parent.tell({"do": "stop"})

    with _closing(parent, line):
        async with (
            opened_services(chosen, folder, clock or SystemClock()) as services,
            anyio.create_task_group() as group,
        ):
            group.start_soon(run_services, services, listening, line)
            group.start_soon(order_stop)
            ready = await anext(parent.news())
            assert ready["state"] == "ready"
            url = str(ready["url"])
            async with httpx.AsyncClient(base_url=url, timeout=TIMEOUT, trust_env=False) as http:
                yield Site(url, folder, services, http, stop)
                stop.set()


@contextmanager
def _closing(*ends: lifeline.Lifeline | lifeline.ParentEnd) -> Iterator[None]:
    try:
        yield
    finally:
        for end in ends:
            end.close()


def free_address() -> str:
    """Return host and port that were free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"
