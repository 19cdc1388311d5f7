"""Schedules over HTTP: what they ask of a server of which everybody else asks something, too."""

import anyio

from tests.integration.server.site import Site, problem
from tests.support.builders import delay

RARE = {"name": "rare", "cron": "0 0 * 2 MON#5", "zone": "Europe/Berlin", "job": delay()}
ANSWERS = 20
"""More than anybody gets in while a server takes in a request."""


async def test_a_preview_of_centuries_holds_nobody_up(site: Site) -> None:
    """A server that counts far ahead answers everybody else meanwhile."""
    seen = []

    async def preview() -> None:
        seen.append(await site.post("/api/v1/schedules/preview?count=200", RARE))

    meanwhile = 0
    async with anyio.create_task_group() as group:
        group.start_soon(preview)
        while not seen:
            assert (await site.http.get("/health")).status_code == 200
            meanwhile += 1

    assert len(seen[0].json()["items"]) == 200
    assert meanwhile > ANSWERS


async def test_a_job_that_comes_again_has_no_one_moment_of_its_own(site: Site) -> None:
    """A moment by which it must be started would, once it is over, refuse every job to come."""
    late = delay(expires_at="2999-01-01T00:00:00Z")
    soon = delay(queue_ttl_s=60)

    answer = await site.post("/api/v1/schedules", {**RARE, "job": late})

    told = problem(answer, 422, "request_invalid")
    assert "say queue_ttl_s" in told["fields"][0]["fault"]
    assert (await site.post("/api/v1/schedules", {**RARE, "job": soon})).status_code == 201
