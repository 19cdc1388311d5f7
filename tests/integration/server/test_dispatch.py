"""Many workers and many jobs at once: no job is left lying beside a worker that sleeps."""

import anyio
import pytest

from tests.integration.server.site import Site
from tests.integration.server.worker import Worker, at_work
from tests.support.builders import command

pytestmark = pytest.mark.usefixtures("database")

JOBS = 120
STALL_S = 15
"""Less than the time for which a claim sleeps: one missed wake-up fails the test."""


@pytest.mark.parametrize("slots", [1, 3])
async def test_no_job_lies_beside_a_sleeping_worker(site: Site, slots: int) -> None:
    """Jobs that come one by one, of two sorts, are all taken at once by the workers they fit."""
    workers = [
        await at_work(site, name=f"w{n}", slots=slots, tags=["gpu"] if n % 2 else [])
        for n in range(6)
    ]
    done: list[str] = []
    all_done = anyio.Event()

    async def work(worker: Worker) -> None:
        while True:
            for grant in await worker.claim(slots=slots, wait_s=25):
                await worker.start(grant["job_id"], grant["attempt"])
                await worker.end(grant["job_id"], attempt=grant["attempt"])
                done.append(grant["job_id"])
                if len(done) == JOBS:
                    all_done.set()

    async def submit(first: int) -> None:
        for number in range(first, JOBS, 4):
            tags = ["gpu"] if number % 3 == 0 else []
            await site.submit(command(requires={"tags": tags}))

    with anyio.fail_after(STALL_S):
        async with anyio.create_task_group() as group:
            for worker in workers:
                group.start_soon(work, worker)
            async with anyio.create_task_group() as submitting:
                for first in range(4):
                    submitting.start_soon(submit, first)
            await all_done.wait()
            group.cancel_scope.cancel()

    assert len(set(done)) == JOBS
