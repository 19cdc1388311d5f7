"""A worker in quarantine, over the wire: who gets the job, and how soon after a release."""

from typing import Any

import anyio

from tests.integration.server.site import Site, problem
from tests.integration.server.worker import Worker, at_work
from tests.support.builders import command

WORKERS = "/api/v1/workers"


async def test_work_goes_past_a_worker_that_is_kept_out(site: Site) -> None:
    """Also while it waits for work, and was promised some; it gets what comes after its release."""
    got: dict[str, list[Any]] = {}
    done = {name: anyio.Event() for name in ("out", "other")}

    async def take(name: str, worker: Worker) -> None:
        got[name] = await worker.claim(wait_s=20)
        done[name].set()

    out, other = await at_work(site, name="out"), await at_work(site, name="other")
    with anyio.fail_after(15):
        async with anyio.create_task_group() as group:
            group.start_soon(take, "out", out)
            await site.post(f"{WORKERS}/out/quarantine", {"reason": "a loud fan"})
            group.start_soon(take, "other", other)
            first = await site.submit(command())
            await done["other"].wait()
            assert [grant["job_id"] for grant in got["other"]] == [first]
            assert "out" not in got

            second = await site.submit(command())
            told = (await site.post(f"{WORKERS}/out/release", {"reason": "it was cleaned"})).json()
    assert told["quarantine"] is None
    assert [grant["job_id"] for grant in got["out"]] == [second]


async def test_what_is_wrong_with_an_order_is_told(site: Site) -> None:
    """A worker that is not there, a reason that is none, a key that may only look."""
    await at_work(site, name="out")

    problem(await site.post(f"{WORKERS}/in/quarantine", {"reason": "x"}), 404, "not_found")
    problem(await site.get(f"{WORKERS}/in"), 404, "not_found")
    for body in ({}, {"reason": ""}, {"reason": "x", "for": "ever"}):
        problem(await site.post(f"{WORKERS}/out/quarantine", body), 422, "request_invalid")
    assert (await site.get(f"{WORKERS}/out")).json()["quarantine"] is None
