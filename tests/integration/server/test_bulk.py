"""Orders for all jobs that a filter means, over HTTP."""

import pytest

from orchestrator.protocol.words import Scope
from tests.integration.server.site import Site, problem
from tests.support.builders import delay
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("database")


async def test_an_order_for_many_is_counted_then_given(site: Site) -> None:
    """The count comes with a token, which gives that order, and is good for no other."""
    jobs = [await site.submit(delay(labels={"n": "1"})) for _ in range(3)]
    other = await site.submit(delay())
    order = {"q": "label:n=1", "action": "cancel"}

    counted = (await site.post("/api/v1/bulk", {**order, "dry_run": True})).json()
    assert counted["count"] == 3
    given = await site.post("/api/v1/bulk", {**order, "token": counted["token"]})
    assert given.status_code == 202
    path = f"/api/v1/bulk/{given.json()['id']}"

    async def is_done() -> bool:
        return (await site.get(path)).json()["finished_at"] is not None

    await until(is_done)
    done = (await site.get(path)).json()
    assert (done["count"], done["done"], done["refused"], done["changed"]) == (3, 3, 0, 0)
    assert [(await site.job(job_id))["state"] for job_id in jobs] == ["cancelled"] * 3
    assert (await site.job(other))["state"] == "queued"

    stolen = {**order, "action": "delete", "token": counted["token"]}
    problem(await site.post("/api/v1/bulk", stolen), 422, "request_invalid")
    problem(await site.post("/api/v1/bulk", order), 422, "request_invalid")
    problem(
        await site.post("/api/v1/bulk", {**order, "q": "x:y", "dry_run": True}),
        422,
        "filter_invalid",
    )
    problem(await site.get("/api/v1/bulk/bulk_nothing"), 404, "not_found")
    key = await site.new_key(Scope.JOBS_WRITE, Scope.JOBS_READ)
    mine = {"Authorization": f"Bearer {key}"}
    problem(await site.post("/api/v1/bulk", {**order, "dry_run": True}, **mine), 403, "forbidden")
