"""A heartbeat that waits: orders and news of its session reach it while it does."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from tests.integration.server.site import Site
from tests.integration.server.worker import at_work
from tests.support.builders import command
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("database")


async def test_a_cancel_reaches_a_waiting_heartbeat(site: Site) -> None:
    """An order arrives while the heartbeat that carries it is already waiting."""
    worker = await at_work(site)
    job_id = await site.submit(command())
    await worker.claim()
    await worker.start(job_id)
    orders = []

    async def beat() -> None:
        answer = await worker.post(
            "heartbeat",
            {
                "session_id": worker.session,
                "claim_seen": 1,
                "attempts": [{"job_id": job_id, "attempt": 1}],
                "wait_s": 15,
            },
        )
        orders.extend(answer.json()["orders"])

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(beat)
            await site.post(f"/api/v1/jobs/{job_id}/cancel", {})

    assert orders == [{"job_id": job_id, "attempt": 1, "directive": "cancel"}]
    assert (await site.job(job_id))["state"] == "cancelling"


async def test_what_is_ended_by_force_is_abandoned_at_once(site: Site) -> None:
    """Also if it was given to the worker after the heartbeat that waits had listed what it has."""
    worker = await at_work(site)
    job_id = await site.submit(command())
    listed: list[dict[str, Any]] = []
    orders: list[dict[str, Any]] = []

    async def renewed_us() -> int:
        sql = "SELECT renewed_us FROM session WHERE id = :id"
        rows = await site.services.store.read(lambda reader: reader.tuples(sql, id=worker.session))
        return int(rows[0][0])

    async def beat() -> None:
        while not orders:
            body = {"session_id": worker.session, "claim_seen": 0, "attempts": listed}
            answer = await worker.post("heartbeat", {**body, "wait_s": 15})
            orders.extend(answer.json()["orders"])

    opened_us = await renewed_us()
    with anyio.fail_after(8):
        async with anyio.create_task_group() as group:
            group.start_soon(beat)
            await until(lambda: _after(renewed_us, opened_us))
            await worker.claim()
            await worker.start(job_id)
            listed.append({"job_id": job_id, "attempt": 1})
            await site.post(f"/api/v1/jobs/{job_id}/cancel", {"force": True})

    assert orders == [{"job_id": job_id, "attempt": 1, "directive": "abandon"}]


async def _after(clock: Callable[[], Awaitable[int]], moment: int) -> bool:
    return await clock() > moment


async def test_a_heartbeat_without_orders_ends_quietly(site: Site) -> None:
    """When nothing is to be ordered, a heartbeat is answered empty after its time."""
    worker = await at_work(site)

    with anyio.fail_after(5):
        answer = await worker.post(
            "heartbeat", {"session_id": worker.session, "claim_seen": 0, "wait_s": 0.1}
        )

    assert answer.json()["orders"] == []
