"""Crowds that ask nothing, or read nothing: everybody else is served as before."""

import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable

import anyio
import pytest
from anyio.abc import SocketStream

from orchestrator.protocol.words import Scope
from orchestrator.server.edge import connection
from orchestrator.server.live.sse import STREAMS, STREAMS_PER_PRINCIPAL
from tests.integration.server.site import Site, problem
from tests.integration.server.worker import Worker, at_work
from tests.support.builders import command, delay
from tests.support.waiting import until

HALF_OPEN = 500
CALLS = 30
BEARABLE_S = 0.5
"""For nine calls of ten. The crowd and the server share one core here."""
HEAD_S = 3.0
DRIP_S = 0.3
"""Slow enough that no head becomes too long before it takes too long."""
UNREAD_S = 2.0
ROUNDS = 5


async def _bearable(call: Callable[[], Awaitable[object]]) -> None:
    """Call some times, and see that hardly anybody would notice."""
    took = []
    for _ in range(CALLS):
        began = anyio.current_time()
        await call()
        took.append(anyio.current_time() - began)
    assert sorted(took)[CALLS * 9 // 10] < BEARABLE_S, took


@contextlib.asynccontextmanager
async def _connected(site: Site, count: int) -> AsyncIterator[list[SocketStream]]:
    async with contextlib.AsyncExitStack() as open_ones:
        yield [await open_ones.enter_async_context(site.socket()) for _ in range(count)]


@pytest.mark.timeout(60)
async def test_half_open_requests_hold_up_nobody(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five hundred that come a byte at a time are cut off in time, and others do not notice."""
    monkeypatch.setattr(connection, "HEAD_TIMEOUT_S", HEAD_S)
    async with _connected(site, HALF_OPEN) as crowd:
        for stream in crowd:
            await stream.send(b"GET / HTTP/1.1\r\nX-Slow: ")

        enough = anyio.Event()

        async def trickle() -> None:
            while not enough.is_set():
                for stream in crowd:
                    with contextlib.suppress(anyio.BrokenResourceError):
                        await stream.send(b"a")
                with anyio.move_on_after(DRIP_S):
                    await enough.wait()

        async with anyio.create_task_group() as group:
            group.start_soon(trickle)
            await _bearable(lambda: site.submit(delay()))
            await _bearable(lambda: site.get("/api/v1/jobs"))
            told = [await _last_words(stream) for stream in crowd]
            enough.set()

    assert [words for words in told if b" 408 " not in words] == []
    assert (await site.get("/api/v1/jobs")).status_code == 200


async def _last_words(stream: SocketStream) -> bytes:
    """Return what a connection is told before it is closed."""
    words = b""
    with contextlib.suppress(anyio.EndOfStream, anyio.BrokenResourceError):
        while True:
            words += await stream.receive()
    return words


class Viewer:
    """Somebody who follows a job's output on a connection of his own."""

    def __init__(self, stream: SocketStream) -> None:
        self._stream = stream
        self.received = b""

    async def ask(self, job_id: str, key: str) -> None:
        """Ask, and read until the answer has begun."""
        path = f"/api/v1/jobs/{job_id}/output/stream"
        head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\r\n"
        await self._stream.send(head.encode())
        while b"retry:" not in self.received:
            self.received += await self._stream.receive()

    async def read(self) -> None:
        """Read to the end."""
        with contextlib.suppress(anyio.EndOfStream, anyio.BrokenResourceError):
            while b"event: eof" not in self.received:
                self.received += await self._stream.receive()

    @property
    def lines(self) -> list[str]:
        """Return what the job has said, as it came."""
        said = [
            json.loads(line.removeprefix(b"data: "))
            for line in self.received.replace(b"\r", b"").split(b"\n")
            if line.startswith(b'data: {"') and b'"text"' in line
        ]
        return "".join(one["text"] for one in said).split()


async def _running(site: Site, worker: Worker) -> str:
    job_id = await site.submit(command())
    await worker.claim()
    await worker.start(job_id)
    return job_id


@pytest.mark.timeout(120)
async def test_three_hundred_viewers_hold_up_nobody(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each that reads gets every line once; the one that does not is cut off; one more waits."""
    monkeypatch.setattr(connection, "UNREAD_ANSWER_S", UNREAD_S)
    keys = [
        await site.new_key(Scope.JOBS_READ, Scope.OUTPUT_READ)
        for _ in range(STREAMS // STREAMS_PER_PRINCIPAL + 1)
    ]
    worker = await at_work(site)
    small, big = await _running(site, worker), await _running(site, worker)
    for _ in range(16):
        for _ in range(16):
            await worker.write(big, b"y" * 65_536)

    async with _connected(site, STREAMS) as sockets, anyio.create_task_group() as group:
        stuck, *viewers = [Viewer(stream) for stream in sockets]
        await stuck.ask(big, keys[0])
        for number, viewer in enumerate(viewers):
            await viewer.ask(small, keys[number % len(keys)])
            group.start_soon(viewer.read)
        assert site.services.streams.open == STREAMS
        refused = await site.get(f"/api/v1/jobs/{small}/output/stream")
        problem(refused, 429, "too_many_streams")

        for number in range(ROUNDS):
            await worker.write(small, f"line-{number}\n".encode())
            await _bearable(lambda: site.submit(delay()))
        await worker.end(small)

        await until(_none(site), timeout_s=60, what="who does not read is cut off")
    assert all(v.lines == [f"line-{n}" for n in range(ROUNDS)] for v in viewers)


def _none(site: Site) -> Callable[[], Awaitable[bool]]:
    async def over() -> bool:
        return site.services.streams.open == 0

    return over
