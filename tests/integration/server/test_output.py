"""Output as people get it: pages, raw bytes, and streams that lose and repeat nothing."""

import base64
import json
from typing import Any

import anyio
import pytest

from orchestrator.client.sse import ServerSentEvent
from orchestrator.protocol import frames
from orchestrator.protocol.frames import FrameType
from orchestrator.protocol.limits import OUTPUT_CAP_BYTES
from orchestrator.protocol.words import Scope
from orchestrator.server.live import reader, sse
from orchestrator.server.output_log import Chunk, OutputState
from tests.integration.server.site import Site, bearer, problem
from tests.integration.server.worker import NOW_US, Worker, at_work
from tests.support.builders import command, delay


def content(piece: dict[str, Any]) -> bytes:
    """Return the bytes of a piece."""
    if piece.get("base64") is not None:
        return base64.b64decode(piece["base64"])
    text: str = piece["text"]
    return text.encode()


def written(events: list[ServerSentEvent]) -> bytes:
    """Return the output in a list of events."""
    return b"".join(content(json.loads(e.data)) for e in events if e.name == "output")


async def started(site: Site, worker: Worker) -> str:
    """Return a job that the worker runs."""
    job_id = await site.submit(command())
    assert [grant["job_id"] for grant in await worker.claim()] == [job_id]
    await worker.start(job_id)
    return job_id


async def test_raw_output_is_what_the_command_wrote(site: Site) -> None:
    """Each stream comes byte for byte, alone or together in the order in which it was written."""
    worker = await at_work(site)
    job_id = await started(site, worker)
    await worker.write(job_id, b"one\n")
    await worker.write(job_id, b"\xff\x00\r\n", stream=FrameType.ERR)
    await worker.write(job_id, b"two")
    await worker.write(job_id, b"a note of the worker", stream=FrameType.NOTE)
    await worker.end(job_id)
    path = f"/api/v1/jobs/{job_id}/output/raw"

    both, out, err = [
        await site.get(path + query) for query in ("", "?stream=stdout", "?stream=stderr")
    ]

    assert both.content == b"one\n\xff\x00\r\ntwo"
    assert (out.content, err.content) == (b"one\ntwo", b"\xff\x00\r\n")
    assert both.headers["content-type"] == "application/octet-stream"
    assert both.headers["x-content-type-options"] == "nosniff"
    name = f"{job_id}-1-both.log"
    assert both.headers["content-disposition"] == f'attachment; filename="{name}"'


async def test_pages_are_exact_and_meet(site: Site) -> None:
    """Text comes as text, other bytes as base 64, and each cursor goes on strictly behind."""
    worker = await at_work(site)
    job_id = await started(site, worker)
    lines = [b"plain", "ümlaut".encode(), b"\xc3", b"\xbc", b"nul\0", b""]
    for line in lines:
        await worker.write(job_id, line)
    path = f"/api/v1/jobs/{job_id}/output"

    pieces, cursor = [], ""
    while True:
        page = (await site.get(f"{path}?limit=2{cursor}")).json()
        if not page["items"]:
            break
        pieces += page["items"]
        cursor = f"&after={page['next_cursor']}"
    open_end = page
    await worker.end(job_id)
    closed_end = (await site.get(f"{path}?limit=2{cursor}")).json()

    assert [content(piece) for piece in pieces] == lines
    assert [piece.get("text") for piece in pieces] == ["plain", "ümlaut", None, None, "nul\0", ""]
    assert {piece["stream"] for piece in pieces} == {"stdout"}
    assert (open_end["eof"], closed_end["eof"]) == (False, True)


async def test_a_job_without_output_has_an_empty_page(site: Site) -> None:
    """Before the first attempt there is nothing, and after a cancel there never will be."""
    job_id = await site.submit(delay())
    path = f"/api/v1/jobs/{job_id}/output"

    before = (await site.get(path)).json()
    await site.post(f"/api/v1/jobs/{job_id}/cancel", b"")
    after = (await site.get(path)).json()

    assert (before["items"], before["eof"]) == ([], False)
    assert (after["items"], after["eof"]) == ([], True)
    assert (await site.get(f"{path}/raw")).content == b""
    problem(await site.get(f"{path}?attempt=1"), 404, "not_found")


async def test_cursors_of_nobody_are_refused(site: Site) -> None:
    """A cursor between two pieces or behind the end is refused before anything is sent."""
    worker = await at_work(site)
    job_id = await started(site, worker)
    await worker.write(job_id, b"some output")
    path = f"/api/v1/jobs/{job_id}/output"

    for cursor in ("1.3", "1.9999999", "x", "1", "1.-1", "2.0"):
        page = await site.get(f"{path}?after={cursor}")
        stream = await site.get(f"{path}/stream", **{"Last-Event-ID": cursor})

        assert page.status_code in {404, 422}, cursor
        assert stream.status_code in {404, 422}, cursor
    problem(await site.get(f"{path}?after=1.0&attempt=2"), 422, "cursor_invalid")


async def test_a_stream_attaches_before_the_job_begins(site: Site) -> None:
    """Whoever follows a queued job sees it start, its output as it is written, and its end."""
    worker = await at_work(site)
    job_id = await site.submit(command())

    with anyio.fail_after(10):
        async with site.stream(f"/api/v1/jobs/{job_id}/output/stream") as events:
            assert json.loads((await anext(events)).data)["state"] == "queued"
            await worker.claim()
            await worker.start(job_id)
            await worker.write(job_id, b"without newline")
            seen: list[ServerSentEvent] = []
            while not seen or seen[-1].name != "output":
                seen.append(await anext(events))
            assert json.loads(seen[-1].data)["text"] == "without newline"
            await worker.write(job_id, b"\xff", stream=FrameType.ERR)
            await worker.end(job_id, outcome="failed", reason="exit_nonzero", exit_code=7)
            rest = [event async for event in events]

    names = [event.name for event in seen + rest]
    assert names.count("attempt") == 1
    assert written(rest) == b"\xff"
    assert names[-1] == "eof"
    job = json.loads(rest[-1].data)
    assert (job["state"], job["exit_code"]) == ("failed", 7)
    states = [json.loads(e.data)["state"] for e in seen + rest if e.name == "state"]
    assert states == sorted(set(states), key=states.index)
    assert states[-1] == "failed"


async def test_a_stream_goes_on_where_it_was_cut(site: Site) -> None:
    """From any event's id the rest follows exactly: nothing twice, nothing missing."""
    worker = await at_work(site)
    job_id = await started(site, worker)
    for number in range(30):
        await worker.write(job_id, f"line {number}\n".encode() * 20)
    await worker.end(job_id)
    path = f"/api/v1/jobs/{job_id}/output/stream"
    async with site.stream(path) as events:
        whole = [event async for event in events]

    for cut in range(len(whole)):
        async with site.stream(path, **{"Last-Event-ID": whole[cut].id}) as events:
            rest = [event async for event in events]

        assert written(whole[: cut + 1]) + written(rest) == written(whole)
        assert rest[-1].name == "eof"


async def test_a_stream_goes_through_all_attempts(site: Site) -> None:
    """A job that is tried again is followed from its first attempt to its last."""
    worker = await at_work(site)
    retry = {"max_attempts": 2, "backoff": {"initial_s": 0, "max_s": 0}}
    job_id = await site.submit(command(retry=retry))
    for attempt, outcome in ((1, "failed"), (2, "succeeded")):
        with anyio.fail_after(5):
            (grant,) = await worker.claim(wait_s=4)
        assert grant["attempt"] == attempt
        await worker.start(job_id, attempt)
        await worker.write(job_id, f"attempt {attempt}".encode(), attempt=attempt)
        await worker.end(job_id, attempt=attempt, outcome=outcome)
    path = f"/api/v1/jobs/{job_id}/output"

    async with site.stream(f"{path}/stream") as events:
        every = [event async for event in events]
    async with site.stream(f"{path}/stream?attempt=1") as events:
        first = [event async for event in events]

    told = [json.loads(e.data) for e in every if e.name == "attempt"]
    assert told == [{"attempt": 1}, {"attempt": 2}]
    assert written(every) == b"attempt 1attempt 2"
    assert written(first) == b"attempt 1"
    assert first[-1].name == every[-1].name == "eof"
    assert (await site.get(f"{path}/raw?attempt=1")).content == b"attempt 1"
    assert (await site.get(f"{path}/raw")).content == b"attempt 2"


async def test_what_was_left_out_is_said(site: Site) -> None:
    """Beyond the cap a stream, a page and a download say exactly how much is missing, and where."""
    worker = await at_work(site)
    job_id = await started(site, worker)
    data = b"x" * 65_536
    batch = frames.encode(FrameType.OUT, NOW_US, data) * 60
    offset = total = 0
    while total < OUTPUT_CAP_BYTES + 20 * len(batch):
        ack = await worker.send_frames(job_id, batch, offset=offset)
        offset = ack["output_offset"]
        total += 60 * len(data)
    await worker.report(
        {"type": "ended", "job_id": job_id, "attempt": 1, "at_us": NOW_US, "outcome": "succeeded"}
    )

    async with site.stream(f"/api/v1/jobs/{job_id}/output/stream") as events:
        every = [event async for event in events]
    raw = await site.get(f"/api/v1/jobs/{job_id}/output/raw")

    (gap,) = [json.loads(event.data) for event in every if event.name == "gap"]
    assert gap["dropped_bytes"] == total - len(written(every)) > 0
    assert len(raw.content) + int(raw.headers["x-output-dropped-bytes"]) == total
    page = (await site.get(f"/api/v1/jobs/{job_id}/output?after=1.{gap['from']}&limit=1")).json()
    assert page["items"][0]["stream"] == "gap"
    assert str(gap["dropped_bytes"]) in page["items"][0]["text"]


async def test_output_that_never_came_is_said_where_it_ends(site: Site) -> None:
    """A stream, a page and a download tell how many of the command's own bytes are missing."""
    worker = await at_work(site)
    retry = {"max_attempts": 2, "backoff": {"initial_s": 0, "max_s": 0}}
    job_id = await site.submit(command(retry=retry))
    for attempt, said, outcome in ((1, 20, "failed"), (2, 4, "succeeded")):
        with anyio.fail_after(5):
            await worker.claim(wait_s=4)
        await worker.start(job_id, attempt)
        await worker.write(job_id, b"here", attempt=attempt)
        await worker.end(job_id, attempt=attempt, outcome=outcome, stdout_bytes=said)
    path = f"/api/v1/jobs/{job_id}/output"

    async with site.stream(f"{path}/stream") as events:
        every = [event async for event in events]
    async with site.stream(f"{path}/stream?attempt=1") as events:
        first = [event async for event in events]

    names = [event.name for event in every if event.name != "state"]
    assert names == ["attempt", "output", "incomplete", "attempt", "output", "eof"]
    assert [event.name for event in first][-2:] == ["incomplete", "eof"]
    (told,) = [json.loads(event.data) for event in every if event.name == "incomplete"]
    assert told == {"attempt": 1, "missing_bytes": 16}
    raw = await site.get(f"{path}/raw?attempt=1")
    assert raw.headers["x-output-missing-bytes"] == "16"
    assert (await site.get(f"{path}?attempt=1")).json()["missing_bytes"] == 16
    assert (await site.get(path)).json()["missing_bytes"] == 0


async def test_a_part_that_fell_out_while_it_was_read_is_looked_for_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page and a stream whose first look was too old give what the next look finds."""
    worker = await at_work(site)
    job_id = await started(site, worker)
    await worker.write(job_id, b"z" * 60_000)
    await worker.end(job_id)
    read = site.services.outputs.read
    late = True

    def outdated(state: OutputState, **where: int) -> Chunk | None:
        nonlocal late
        late = not late
        return read(state, **where) if late else None

    monkeypatch.setattr(site.services.outputs, "read", outdated)
    path = f"/api/v1/jobs/{job_id}/output"

    page = (await site.get(path)).json()
    async with site.stream(f"{path}/stream") as events:
        names = [event.name async for event in events]

    assert (len(page["items"]), page["eof"]) == (1, True)
    assert names[-1] == "eof"
    assert "output" in names


async def test_a_silent_stream_is_kept_alive(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """While nothing happens a comment is sent now and then, so that no proxy cuts the stream."""
    monkeypatch.setattr(reader, "PING_S", 0.05)
    job_id = await site.submit(delay())
    path = f"/api/v1/jobs/{job_id}/output/stream"
    seen = b""

    with anyio.fail_after(5):
        async with site.http.stream("GET", path, headers=site.admin) as answer:
            assert answer.headers["x-accel-buffering"] == "no"
            assert "no-transform" in answer.headers["cache-control"]
            assert "content-encoding" not in answer.headers
            async for piece in answer.aiter_raw():
                seen += piece
                if seen.count(sse.PING) >= 3:
                    break

    assert seen.startswith(b"retry: ")


async def test_streams_are_counted_by_principal(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has too many streams open is told to come back, and others are not affected."""
    monkeypatch.setattr(site.services.streams, "_per_principal", 2)
    other = await site.new_key(Scope.ADMIN)
    job_id = await site.submit(delay())
    path = f"/api/v1/jobs/{job_id}/output/stream"

    async with site.stream(path) as one, site.stream(path) as two:
        await anext(one)
        await anext(two)
        refused = await site.get(path)
        async with site.stream(path, **bearer(other)) as fine:
            await anext(fine)

    problem(refused, 429, "too_many_streams")
    assert int(refused.headers["retry-after"]) > 0


async def test_a_reader_that_goes_away_gives_its_place_back(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream that its reader closes is over on the server, too."""
    monkeypatch.setattr(site.services.streams, "_per_principal", 1)
    job_id = await site.submit(delay())
    path = f"/api/v1/jobs/{job_id}/output/stream"

    with anyio.fail_after(10):
        for _ in range(5):
            while True:
                async with site.http.stream("GET", path, headers=site.admin) as answer:
                    if answer.status_code == 200:
                        break


async def test_a_slow_reader_holds_up_nobody(site: Site) -> None:
    """A stream that nobody reads stops neither the worker nor another reader."""
    worker = await at_work(site)
    job_id = await started(site, worker)
    path = f"/api/v1/jobs/{job_id}/output/stream"
    head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {site.key()}\r\n\r\n"

    with anyio.fail_after(15):
        async with site.socket() as stuck:
            await stuck.send(head.encode())
            await stuck.receive(1)
            for _ in range(100):
                await worker.write(job_id, b"y" * 65_536)
            await worker.end(job_id)
            async with site.stream(path) as events:
                size = len(written([event async for event in events]))

    assert size == 100 * 65_536
