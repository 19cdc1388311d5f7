"""A server whose database went away in the middle of a commit: nobody waits for news for ever."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import anyio
import pytest

from tests.integration.server.site import Site, problem, running
from tests.integration.server.worker import at_work
from tests.support.builders import command
from tests.support.postgres import PostgresServer
from tests.support.severing import Door, door_to

SOON_S = 12.0
"""The upkeep's next commit tells; a claim would sleep twice as long."""


@pytest.fixture
async def severed(postgres: PostgresServer, tmp_path: Path) -> AsyncIterator[tuple[Site, Door]]:
    """Give a server, and the door to its database."""
    name = postgres.clean_database()
    with door_to(postgres.port) as door:
        url = postgres.url(name).replace(f":{postgres.port}/", f":{door.port}/")
        async with running(tmp_path, database=url) as site:
            yield site, door
    postgres.give_back(name)


async def test_work_that_nobody_was_told_of_is_found(severed: tuple[Site, Door]) -> None:
    """A submit of unknown fate is repeated to its one job, which a waiting worker is given."""
    site, door = severed
    worker = await at_work(site)
    grants: list[str] = []

    async def wait_for_work() -> None:
        grants.extend(grant["job_id"] for grant in await worker.claim(wait_s=25))

    def shut() -> None:
        door.closed = True

    submit = partial(site.post, "/api/v1/jobs", command(), **{"Idempotency-Key": "the-only-one"})
    with anyio.fail_after(SOON_S):
        async with anyio.create_task_group() as group:
            group.start_soon(wait_for_work)
            await anyio.wait_all_tasks_blocked()
            door.when_slammed = shut
            door.slam_at(b"COMMIT", passes=True)
            problem(await submit(), 503, "commit_unknown")
            door.closed = False

    answer = await submit()
    assert answer.json()["id"] == grants[0]
    assert len((await site.get("/api/v1/jobs")).json()["items"]) == 1
