"""A job's own events: gapless, in order, and resumable from any of them."""

import json

import anyio
import pytest

from tests.integration.server.site import Site, problem
from tests.integration.server.worker import at_work
from tests.support.builders import command, delay
from tests.support.waiting import until


async def test_the_timeline_tells_a_life_in_order(site: Site) -> None:
    """Every committed fact of a job is one event, numbered from 1 without a gap."""
    worker = await at_work(site)
    job_id = await site.submit(command())
    await worker.claim()
    await worker.start(job_id)
    await worker.end(job_id)

    events = (await site.get(f"/api/v1/jobs/{job_id}/events")).json()["items"]

    assert [event["seq"] for event in events] == [1, 2, 3, 4, 5]
    assert [event["type"] for event in events] == [
        "submitted",
        "claimed",
        "started",
        "ended",
        "finished",
    ]


async def test_pages_of_events_meet(site: Site) -> None:
    """`next_cursor` is the next page's `after`, and the last page has none."""
    job_id = await site.submit(delay())
    await site.post(f"/api/v1/jobs/{job_id}/cancel", {})
    path = f"/api/v1/jobs/{job_id}/events"

    first = (await site.get(f"{path}?limit=2")).json()
    rest = (await site.get(f"{path}?limit=2&after={first['next_cursor']}")).json()

    assert [event["seq"] for event in first["items"] + rest["items"]] == [1, 2, 3]
    assert rest["next_cursor"] is None


async def test_a_stream_of_events_has_no_gap_and_no_repeat(site: Site) -> None:
    """Read live and cut after any event, the rest follows strictly behind it, then `eof`."""
    worker = await at_work(site)
    job_id = await site.submit(command())
    path = f"/api/v1/jobs/{job_id}/events/stream"

    with anyio.fail_after(10):
        async with site.stream(path) as events:
            live = [await anext(events)]
            await worker.claim()
            await worker.start(job_id)
            await worker.end(job_id)
            live += [event async for event in events]

    assert [event.id for event in live[:-1]] == ["1", "2", "3", "4", "5"]
    assert (live[-1].name, json.loads(live[-1].data)["state"]) == ("eof", "succeeded")
    for cut in range(5):
        async with site.stream(path, **{"Last-Event-ID": live[cut].id}) as events:
            rest = [event async for event in events]
        assert [e.data for e in rest] == [e.data for e in live[cut + 1 :]]


@pytest.mark.parametrize("path", ["events/stream", "output/stream"])
async def test_a_stream_does_not_live_for_ever(
    site: Site, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """It ends in order, nobody is counted as reading any more, and its reader may come back."""
    monkeypatch.setattr("orchestrator.server.live.sse.STREAM_S", 0.5)
    job_id = await site.submit(delay())

    for _ in range(2):
        with anyio.fail_after(8):
            async with site.stream(f"/api/v1/jobs/{job_id}/{path}") as events:
                names = [event.name async for event in events]
        assert "eof" not in names
    await until(lambda: _nobody_reads(site))


async def _nobody_reads(site: Site) -> bool:
    return site.services.streams.open == 0


async def test_a_position_that_is_none_is_refused(site: Site) -> None:
    """A `Last-Event-ID` that no event has the form of is refused before the stream begins."""
    job_id = await site.submit(delay())

    for wrong in ("x", "-1", "1.5", "9" * 30):
        answer = await site.get(f"/api/v1/jobs/{job_id}/events/stream", **{"Last-Event-ID": wrong})

        problem(answer, 422, "cursor_invalid")


@pytest.mark.parametrize("what", ["events", "output"])
async def test_how_far_a_job_is_comes_with_its_streams(site: Site, what: str) -> None:
    """Each word once, as it is committed, between all else; it has no number to go on behind."""
    worker = await at_work(site)
    job_id = await site.submit(command())
    await worker.claim()
    await worker.start(job_id)
    progress = {"type": "progress", "job_id": job_id, "attempt": 1, "at_us": 0}

    with anyio.fail_after(10):
        async with site.stream(f"/api/v1/jobs/{job_id}/{what}/stream") as events:
            told = []
            for seq in (1, 2):
                await worker.report({**progress, "seq": seq, "percent": 40.5 * seq})
                async for event in events:
                    if event.name == "progress":
                        told.append(json.loads(event.data)["percent"])
                        break
            shown = await site.job(job_id)
            await worker.end(job_id)
            rest = [event.name async for event in events]

    assert told == [40.5, 81]
    assert shown["progress"]["percent"] == 81
    assert "progress" not in rest
    assert rest[-1] == "eof"
