"""Orders for all jobs that a filter means, over HTTP."""

from typing import Any

import anyio
import pytest

from orchestrator.core.bulk import Preview
from orchestrator.protocol.bulk import BulkOrder
from orchestrator.protocol.words import BulkAction, Scope
from tests.integration.server.site import Site, problem
from tests.integration.server.worker import at_work
from tests.support.builders import command, delay
from tests.support.waiting import until, wait_until

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
    nowhere = {"q": "label:n=1", "action": "queue", "queue": "nihgt", "dry_run": True}
    problem(await site.post("/api/v1/bulk", nowhere), 422, "queue_unknown")
    unsaid = {"q": "label:n=1", "action": "queue", "dry_run": True}
    problem(await site.post("/api/v1/bulk", unsaid), 422, "request_invalid")
    problem(await site.get("/api/v1/bulk/bulk_nothing"), 404, "not_found")
    key = await site.new_key(Scope.JOBS_WRITE, Scope.JOBS_READ)
    mine = {"Authorization": f"Bearer {key}"}
    problem(await site.post("/api/v1/bulk", {**order, "dry_run": True}, **mine), 403, "forbidden")


async def _ordered(site: Site, **order: str) -> str:
    """Give an order for all jobs that its filter means; return where it is looked at."""
    counted = (await site.post("/api/v1/bulk", {**order, "dry_run": True})).json()
    given = await site.post("/api/v1/bulk", {**order, "token": counted["token"]})
    assert given.status_code == 202, given.text
    return f"/api/v1/bulk/{given.json()['id']}"


async def _done(site: Site, path: str) -> dict[str, Any]:
    """Wait for the end of an order, and return what it says then."""

    async def seen() -> dict[str, Any] | None:
        told: dict[str, Any] = (await site.get(path)).json()
        return told if told["finished_at"] else None

    found = await until(seen)
    assert found is not None
    return found


async def _over(site: Site) -> str:
    """Return a job that is over, with output in a file."""
    worker = await at_work(site)
    job_id = await site.submit(command())
    await worker.claim()
    await worker.start(job_id)
    await worker.write(job_id, b"x" * 50_000)
    await worker.end(job_id)
    return job_id


async def test_what_is_not_deleted_keeps_its_output(site: Site) -> None:
    """A job on which another one still depends stays as it is, with everything of its."""
    job_id, child = await _over(site), await site.submit(delay())
    await site.services.store.write(
        lambda tx: tx.execute(
            "INSERT INTO job_dependency (job_id, parent_id, waits_for, on_failure) "
            "VALUES (:job_id, :parent_id, 'success', 'fail')",
            job_id=child,
            parent_id=job_id,
        )
    )

    done = await _done(site, await _ordered(site, q="state:succeeded", action="delete"))

    assert (done["done"], done["refused"]) == (0, 1)
    raw = await site.get(f"/api/v1/jobs/{job_id}/output/raw")
    assert (raw.status_code, raw.content) == (200, b"x" * 50_000)


async def test_a_disk_that_refuses_delays_an_order(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    """What cannot be removed now goes as soon as it can; the server works on meanwhile."""
    job_id = await _over(site)
    folder = site.services.outputs.path(job_id, 1, 0).parent
    aside = folder.rename(folder.with_name("aside"))
    folder.touch()

    path = await _ordered(site, q="state:succeeded", action="delete")
    await anyio.to_thread.run_sync(lambda: wait_until(lambda: "bulk.delayed" in caplog.text))
    assert (await site.get(path)).json()["finished_at"] is None
    folder.unlink()
    aside.rename(folder)

    assert (await _done(site, path))["done"] == 1
    assert not folder.exists()


@pytest.mark.parametrize("q", ["x:y", "state:fialed", 'x "y'])
async def test_a_token_that_somebody_made_up_orders_nothing_that_nobody_understands(
    site: Site, q: str
) -> None:
    """It is refused before it is written down: the server would stumble over it for ever."""
    order = BulkOrder(q=q, action=BulkAction.HOLD)
    token = Preview("job_" + "z" * 26, 0, 1).token(order.canonical())

    given = await site.post("/api/v1/bulk", {"q": q, "action": "hold", "token": token})

    problem(given, 422, "filter_invalid")
    assert (await site.get("/health")).status_code == 200


async def test_an_order_that_is_not_understood_any_more_fails_and_the_next_goes_on(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    """Another version wrote it down: it ends with the reason, once, and holds up nobody."""
    job_id = await site.submit(delay(labels={"n": "1"}))
    old = "0" * 26
    await site.services.store.write(
        lambda tx: tx.execute(
            "INSERT INTO bulk (id, token, owner, q, action, at_us, upto, expected, created_us) "
            "VALUES (:id, :id, 'ada', :q, :action, 0, :upto, 1, 0)",
            id=f"bulk_{old}",
            q="colour:red",
            action=BulkOrder(q="colour:red", action=BulkAction.HOLD).canonical(),
            upto=job_id,
        )
    )

    done = await _done(site, await _ordered(site, q="label:n=1", action="hold"))

    assert (done["done"], done["failure"]) == (1, None)
    failed = (await site.get(f"/api/v1/bulk/bulk_{old}")).json()
    assert (failed["done"], failed["changed"]) == (0, None)
    assert "colour is no key" in failed["failure"]
    assert failed["finished_at"] is not None
    assert caplog.text.count("bulk.failed") == 1
    assert (await site.get("/health")).status_code == 200
