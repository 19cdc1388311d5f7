"""Workers that are free share the work, whoever of them is quicker to wake."""

from collections import Counter
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import anyio
import pytest
from starlette.types import Message

from orchestrator.protocol.wire import ClaimRequest
from orchestrator.server.live.claiming import wait_for_work
from orchestrator.server.live.dispatch import Dispatch
from orchestrator.server.operations.submit import submit
from orchestrator.server.store.sqlite import open_sqlite
from tests.integration.store.world import Worker, World, ended
from tests.support.builders import spec
from tests.support.waiting import until

SLOTS = 8


class Floor:
    """Two equal workers that wait for work, and how many jobs each has had."""

    def __init__(self, world: World, workers: list[Worker]) -> None:
        self.world = world
        self.workers = workers
        self.had: Counter[str] = Counter()
        self.waiting = 0
        self.dispatch = Dispatch()
        world.store.subscribe(self.dispatch.hear)

    async def work(self, worker: Worker, jobs: int) -> None:
        """Do what it is given until all jobs are done."""
        number = 0
        while self.had.total() < jobs:
            number += 1
            asked = ClaimRequest(session_id=worker.session, number=number, slots=SLOTS, wait_s=0.2)
            reply = await wait_for_work(
                self.world.store, self.dispatch, asked, self._receive, worker_id=worker.id
            )
            self.had[worker.name] += len(reply.grants)
            if reply.grants:
                await worker.report(*map(ended, reply.grants))

    async def _receive(self) -> Message:
        """Be a client that never hangs up; it is asked only on behalf of who waits."""
        self.waiting += 1
        try:
            await anyio.sleep_forever()
        finally:
            self.waiting -= 1
        raise AssertionError

    async def crowd(self, count: int) -> None:
        """Have so many jobs submitted at once."""
        asked = spec()
        async with anyio.create_task_group() as at_once:
            for _ in range(count):
                new = self.world.id("job")
                job = partial(submit, job_id=new, owner="ada", spec=asked)
                at_once.start_soon(self.world.write, job)

    async def are_all_waiting(self, had: int) -> bool:
        """Tell whether so many jobs are done, and everybody waits for more."""
        return self.had.total() == had and self.waiting == len(self.workers)


@pytest.fixture
async def floor(tmp_path: Path) -> AsyncIterator[Floor]:
    """Give two workers at an open store."""
    world = World(lambda folder, clock: open_sqlite(folder / "db", clock), tmp_path)
    world.open()
    yield Floor(world, [await world.worker(name, slots=SLOTS) for name in ("a", "b")])
    await world.close()


async def test_two_workers_share_a_thousand_jobs(floor: Floor) -> None:
    """Each has half, give or take a tenth."""
    async with anyio.create_task_group() as group:
        for worker in floor.workers:
            group.start_soon(floor.work, worker, 1_000)
        for _ in range(10):
            await floor.crowd(100)

    assert floor.had.total() == 1_000
    assert abs(floor.had["a"] - floor.had["b"]) <= 100, floor.had


async def test_a_crowd_that_one_of_them_could_take_is_shared(floor: Floor) -> None:
    """Who wakes first leaves the other its part, though it has room for all of them."""
    crowds, shares = 10, []
    async with anyio.create_task_group() as group:
        for worker in floor.workers:
            group.start_soon(floor.work, worker, crowds * SLOTS)
        for number in range(crowds):
            await until(partial(floor.are_all_waiting, number * SLOTS))
            before = floor.had["a"]
            await floor.crowd(SLOTS)
            await until(partial(_have_had, floor, (number + 1) * SLOTS))
            shares.append(floor.had["a"] - before)

    assert sum(share == SLOTS // 2 for share in shares) >= crowds - 2, shares


async def _have_had(floor: Floor, count: int) -> bool:
    return floor.had.total() == count
