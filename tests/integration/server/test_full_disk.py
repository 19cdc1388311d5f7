"""A full disk: what becomes of running jobs is taken in, new work is refused, nothing is lost."""

import base64
import http.client
import json
import logging
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from orchestrator.protocol import frames
from orchestrator.protocol.frames import FrameType
from orchestrator.server.store.interface import Reader
from tests.integration.server.site import Site, problem, running
from tests.integration.server.test_program import ready
from tests.integration.server.worker import NOW_US, Worker, at_work
from tests.integration.shim.test_disk_full import MIB, fill, small_disk
from tests.support.builders import command, delay
from tests.support.waiting import until

RESERVE = 2 * MIB
SOON_S = 15.0
"""Twice as long as it takes the server to look at its disk, and some more."""


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """Give a server that has a small disk to itself."""
    with small_disk(tmp_path / "disk", 32 * MIB) as disk:
        async with running(disk, reserve_bytes=RESERVE) as started:
            yield started


async def started(site: Site, worker: Worker) -> str:
    """Return a job that runs."""
    job_id = await site.submit(command())
    await worker.claim()
    await worker.start(job_id)
    return job_id


async def end_with_output(worker: Worker, job_id: str) -> None:
    """End a job in the report that carries all that it printed."""
    encoded = frames.encode(FrameType.OUT, NOW_US, os.urandom(8000))
    about = {"job_id": job_id, "attempt": 1}
    output = {
        "type": "output",
        **about,
        "offset": 0,
        "frames": base64.urlsafe_b64encode(encoded).decode(),
    }
    end = {
        "type": "ended",
        **about,
        "at_us": NOW_US,
        "outcome": "succeeded",
        "exit_code": 0,
        "output_length": len(encoded),
        "output_digest": frames.chain(frames.EMPTY_DIGEST, encoded).hex(),
    }
    await worker.report(output, end)


def checked(reader: Reader) -> object:
    """Return what SQLite says of the whole file."""
    return reader.tuples("PRAGMA integrity_check")


async def test_ends_are_taken_in_while_the_disk_is_full(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    """Ends, heartbeats, cancels and deletes go on; new work waits until there is room."""
    caplog.set_level(logging.INFO, "orchestrator")
    worker = await at_work(site, slots=64)
    running_jobs = [await started(site, worker) for _ in range(20)]
    queued = await site.submit(delay())
    assert (site.folder / "reserve").stat().st_size == RESERVE

    fill(site.folder / "others")
    for job_id in running_jobs:
        await end_with_output(worker, job_id)
    canceled = await site.post(f"/api/v1/jobs/{queued}/cancel", {})
    beat = await worker.post(
        "heartbeat", {"session_id": worker.session, "claim_seen": 0, "wait_s": 0.1}
    )

    assert not (site.folder / "reserve").exists()
    assert (canceled.status_code, beat.status_code) == (200, 200)
    for job_id in running_jobs:
        assert (await site.job(job_id))["state"] == "succeeded"
    deleted = await site.call("DELETE", f"/api/v1/jobs/{running_jobs[0]}")
    assert deleted.status_code == 204, deleted.text
    refusals = (
        await site.post("/api/v1/jobs", delay()),
        await site.http.post("/api/v1/files", content=b"input", headers=site.admin),
        await worker.post("claim", {"session_id": worker.session, "number": 99, "slots": 1}),
    )
    for refusal in refusals:
        problem(refusal, 503, "storage_full")
        assert refusal.headers["retry-after"] == "10"
    answer = await site.http.get("/ready")
    assert answer.json() == {"ready": True, "problem": "storage_full"}
    assert answer.status_code == 200

    (site.folder / "others").unlink()
    await until(lambda: is_ready(site), timeout_s=SOON_S)

    assert (site.folder / "reserve").stat().st_size == RESERVE
    await started(site, worker)
    assert await site.services.store.read(checked) == [("ok",)]
    told = [record.getMessage() for record in caplog.records]
    assert sum("reserve." in line for line in told) == 2, told


async def is_ready(site: Site) -> bool:
    """Tell whether the server takes everything again."""
    return bool((await site.http.get("/ready")).json() == {"ready": True})


async def test_long_output_leaves_room_for_ends(site: Site) -> None:
    """What is kept back is not filled with output: its worker keeps it until there is room."""
    worker = await at_work(site)
    talking, ending = await started(site, worker), await started(site, worker)
    fill(site.folder / "others")
    await until(lambda: is_short(site), timeout_s=SOON_S)

    encoded = frames.encode(FrameType.OUT, NOW_US, os.urandom(60_000))
    query = {"session_id": worker.session, "job_id": talking, "attempt": "1"}

    async def write(offset: int) -> httpx.Response:
        return await site.http.post(
            "/api/worker/v1/output",
            params={**query, "offset": str(offset)},
            content=encoded,
            headers=worker.headers,
        )

    offset = 0
    while (answer := await write(offset)).status_code == 200:
        offset += len(encoded)

    problem(answer, 503, "storage_full")
    assert offset < RESERVE
    await end_with_output(worker, ending)
    assert (await site.job(ending))["state"] == "succeeded"


async def is_short(site: Site) -> bool:
    """Tell whether the server has noticed that its disk is full."""
    return bool((await site.http.get("/ready")).json().get("problem") == "storage_full")


def ask(
    connection: http.client.HTTPConnection, path: str, headers: dict[str, str], job: object = None
) -> tuple[int, dict[str, object]]:
    """Make a call, and return status and answer."""
    body = None if job is None else json.dumps(job)
    sent = {"Content-Type": "application/json", **headers}
    connection.request("GET" if job is None else "POST", path, body, sent)
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def test_a_server_starts_on_a_full_disk(tmp_path: Path) -> None:
    """A kill while the disk is full does not end in a loop of starts: what was kept is shown."""
    with small_disk(tmp_path / "disk", 100 * MIB) as disk:
        folder = disk / "data"
        with ready(folder) as (first, connection, headers):
            _, job = ask(connection, "/api/v1/jobs", headers, delay())
            fill(disk / "others")
            first.signal(signal.SIGKILL)
            first.wait()

        with ready(folder) as (again, connection, headers):
            assert "reserve.released" in again.said
            assert ask(connection, f"/api/v1/jobs/{job['id']}", headers)[1]["state"] == "queued"
            assert ask(connection, "/api/v1/jobs", headers, delay())[0] == 503
            (disk / "others").unlink()
            again.wait_for("reserve.restored")
            assert ask(connection, "/api/v1/jobs", headers, delay())[0] == 201
