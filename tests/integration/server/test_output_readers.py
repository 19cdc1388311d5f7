"""Readers of output that cannot have all of it, or do not want it: told so, and not served."""

import json
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import Final

import anyio
import pytest

from orchestrator.client.sse import EventReader
from orchestrator.protocol import frames
from orchestrator.protocol.frames import FrameType
from orchestrator.server.edge import connection
from orchestrator.server.live.following import OutputStream
from orchestrator.server.live.output import CHUNK_BYTES, OutputReader, Position
from orchestrator.server.live.reader import StreamReader
from orchestrator.server.operations import output_plan
from orchestrator.server.operations.output import output_state
from orchestrator.server.output_log import FRAMES_AT_ONCE, Chunk, OutputState
from tests.integration.server.site import Site, problem
from tests.integration.server.test_output import started
from tests.integration.server.worker import NOW_US, at_work
from tests.support.waiting import until

PIECES: Final = 70


async def test_output_that_is_gone_from_the_disk_is_told(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readers of a lost part are told that it is lost, whole or behind what they read before."""
    worker = await at_work(site)
    job_id = await started(site, worker)
    await worker.write(job_id, b"z" * 60_000)
    (part,) = site.folder.rglob(f"{job_id}/1.0")
    part.unlink()
    read = site.services.outputs.read
    reads = 0

    def counted(state: OutputState, **where: int) -> Chunk | None:
        nonlocal reads
        reads += 1
        return read(state, **where)

    monkeypatch.setattr(site.services.outputs, "read", counted)
    path = f"/api/v1/jobs/{job_id}/output"

    with anyio.fail_after(5):
        page = await site.get(path)
        raw = await site.get(f"{path}/raw")
        async with site.stream(f"{path}/stream") as events:
            seen = [event async for event in events]
        again = await site.get(f"{path}/stream", **{"Last-Event-ID": "1.0"})

    for told in (page, raw, again):
        assert "1.0" in problem(told, 410, "output_lost")["detail"]
    assert [event.name for event in seen] == ["state", "attempt", "problem"]
    assert json.loads(seen[-1].data)["code"] == "output_lost"
    assert reads == 6


async def test_a_part_that_was_cut_is_told_as_lost(site: Site) -> None:
    """A part file that is shorter than what was stored is a loss, not a fault without a name."""
    worker = await at_work(site)
    job_id = await started(site, worker)
    await worker.write(job_id, b"z" * 60_000)
    (part,) = site.folder.rglob(f"{job_id}/1.0")
    part.write_bytes(part.read_bytes()[:100])

    page = await site.get(f"/api/v1/jobs/{job_id}/output")

    problem(page, 410, "output_lost")


async def test_tiny_pieces_come_few_at_a_time(site: Site) -> None:
    """A chunk is bounded by its pieces as well, so that rendering one holds up nobody for long."""
    worker = await at_work(site)
    job_id = await started(site, worker)
    batch = frames.encode(FrameType.OUT, NOW_US, b"x") * 10_000
    await worker.send_frames(job_id, batch, offset=0)
    state = await site.services.store.read(lambda reader: output_state(reader, job_id, 1))
    assert state is not None

    chunk = site.services.outputs.read(state, offset=0, limit=CHUNK_BYTES)
    raw = await site.get(f"/api/v1/jobs/{job_id}/output/raw")

    assert chunk is not None
    assert sum(1 for _ in frames.decode(chunk.frames)) == FRAMES_AT_ONCE
    assert raw.content == b"x" * 10_000


async def test_nothing_is_read_for_who_has_left(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that leaves at the beginning of a long backlog does not cost all of it."""
    worker = await at_work(site)
    job_id = await started(site, worker)
    for _ in range(100):
        await worker.write(job_id, b"y" * 65_536)
    read = site.services.outputs.read
    reads = 0

    def counted(state: OutputState, **where: int) -> Chunk | None:
        nonlocal reads
        reads += 1
        return read(state, **where)

    monkeypatch.setattr(site.services.outputs, "read", counted)
    path = f"/api/v1/jobs/{job_id}/output/stream"
    head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {site.key()}\r\n\r\n"

    async def closed() -> bool:
        return site.services.streams.open == 0

    async with site.socket() as leaving:
        await leaving.send(head.encode())
        await leaving.receive(1)
    await until(closed)

    assert reads < 20


async def test_gaps_of_one_stream_add_up(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow reader that the cap overtakes more than once is told of each missing byte once."""
    monkeypatch.setattr(output_plan, "OUTPUT_CAP_BYTES", 1_000_000)
    monkeypatch.setattr(output_plan, "OUTPUT_HEAD_BYTES", 200_000)
    monkeypatch.setattr(output_plan, "_TAIL_BYTES", 800_000)
    monkeypatch.setattr(output_plan, "OUTPUT_PART_BYTES", 100_000)
    worker = await at_work(site)
    job_id = await started(site, worker)
    batch = frames.encode(FrameType.OUT, NOW_US, b"y" * 30_000)
    offset = seen = 0

    async def write() -> None:
        nonlocal offset
        for _ in range(PIECES):
            offset = (await worker.send_frames(job_id, batch, offset=offset))["output_offset"]

    reader = StreamReader(site.services.bus, site.services.credentials, {})
    outputs = OutputReader(site.services.outputs)
    stream = OutputStream(site.services.store, outputs, reader, job_id, only=None)
    at_each_gap: list[Callable[[], Awaitable[object]]] = [partial(worker.end, job_id), write]

    await write()
    async with aclosing(stream.pieces(Position(0))) as pieces:
        async for piece in pieces:
            for event in EventReader().events([piece]):
                data = json.loads(event.data)
                if event.name == "output":
                    seen += len(data["text"])
                elif event.name == "gap":
                    seen += data["dropped_bytes"]
                    await at_each_gap.pop()()

    assert at_each_gap == []
    assert seen == 2 * PIECES * 30_000


async def test_a_reader_that_takes_nothing_is_hung_up_on(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who leaves an answer unread for too long loses the stream, and what is kept for it goes."""
    monkeypatch.setattr(connection, "UNREAD_ANSWER_S", 0.2)
    worker = await at_work(site)
    job_id = await started(site, worker)
    path = f"/api/v1/jobs/{job_id}/output/stream"
    head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {site.key()}\r\n\r\n"
    much = b"".join(frames.encode(FrameType.OUT, NOW_US, b"y" * 65_536) for _ in range(60))

    async with site.socket() as stuck:
        await stuck.send(head.encode())
        await stuck.receive(1)
        assert site.services.streams.open == 1
        for offset in range(0, 5 * len(much), len(much)):
            await worker.send_frames(job_id, much, offset=offset)

        async def over() -> bool:
            return site.services.streams.open == 0

        await until(over)
