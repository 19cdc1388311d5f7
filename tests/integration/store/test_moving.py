"""Moving jobs that have not begun to another queue."""

from functools import partial
from typing import Any

import pytest

from orchestrator.core.job_filter import JobFilter
from orchestrator.kernel.errors import IllegalTransition, RequestInvalid
from orchestrator.protocol.jobs import AmendRequest
from orchestrator.protocol.views import JobDetail
from orchestrator.protocol.words import JobState, PendingReason
from orchestrator.server.operations.amend import amend
from orchestrator.server.operations.hold import hold, release
from orchestrator.server.operations.job_lists import list_jobs
from orchestrator.server.operations.queues import delete_queue, list_queues, pause_queue
from tests.integration.store.test_lines import called_out, key, make, why
from tests.integration.store.world import World, ended


async def _move(world: World, job_id: str, queue: str, **fields: Any) -> JobDetail:
    asked = AmendRequest.model_validate({"queue": queue, **fields})
    return await world.write(lambda tx: amend(tx, job_id, asked=asked, by="ada"))


async def _waiting(world: World) -> dict[str, int]:
    return {one.name: one.queued for one in await world.read(list_queues)}


async def test_a_job_that_is_moved_starts_in_its_new_queue(world: World) -> None:
    """It is called out there, keeps what it has waited, and its story says who moved it."""
    await make(world, "night")
    await world.write(partial(pause_queue, name="night", by="ada", why=None))
    worker = await world.worker()
    job = await world.submit(queue="night")
    newer = await world.submit()
    assert (await why(world, job.id))[0] is PendingReason.QUEUE_PAUSED
    called_out(world)

    shown = await _move(world, job.id, "default", comment="now")

    assert (shown.queue, shown.spec["queue"]) == ("default", "night")
    assert called_out(world) == 1
    assert await _waiting(world) == {"default": 2, "night": 0}
    assert [grant.job_id for grant in await worker.claim(2)] == [job.id, newer.id]
    told = (await world.events(job.id))[1]
    assert (told.type, told.data) == (
        "amended",
        {"by": "ada", "comment": "now", "queue": ["night", "default"]},
    )
    await world.write(partial(delete_queue, name="night"))


async def test_moved_into_its_own_queue_nothing_happens(world: World) -> None:
    """An order that is given twice is told once, and costs no place."""
    await make(world, "night")
    job = await world.submit()
    first = await _move(world, job.id, "night")

    again = await _move(world, job.id, "night", comment="once more")

    assert again.version == first.version
    assert await world.told(job.id) == ["submitted", "amended"]


async def test_a_moved_job_is_held_to_the_gates_of_its_new_queue(world: World) -> None:
    """A pause, a limit and its own key hold it there; those of the old queue do no more."""
    await make(world, "narrow", max_running=1)
    worker = await world.worker()
    first = await world.submit(queue="narrow")
    (holding,) = await worker.claim(1)
    assert holding.job_id == first.id
    keyed = await world.submit(**key("db"))
    (held,) = await worker.claim(1)
    assert held.job_id == keyed.id
    moved, other = await world.submit(), await world.submit(**key("db"))

    await _move(world, moved.id, "narrow")
    await _move(world, other.id, "narrow")

    assert (await why(world, moved.id))[0] is PendingReason.QUEUE_LIMIT
    assert await worker.claim(2) == []
    await _move(world, other.id, "default")
    assert (await why(world, other.id))[0] is PendingReason.CONCURRENCY_KEY
    await worker.tell(ended(held))
    assert [grant.job_id for grant in await worker.claim(2)] == [other.id]
    await worker.tell(ended(holding))
    assert [grant.job_id for grant in await worker.claim(2)] == [moved.id]


async def test_a_job_that_waits_for_something_else_is_moved_too(world: World) -> None:
    """Held or not due, it enters its new queue once it may."""
    await make(world, "night")
    job = await world.submit()
    await world.write(partial(hold, ids=[job.id], by="ada"))

    shown = await _move(world, job.id, "night")
    assert (shown.state, shown.queue) == (JobState.HELD, "night")
    assert await _waiting(world) == {"default": 0, "night": 0}

    await world.write(partial(release, ids=[job.id], by="ada"))
    assert await _waiting(world) == {"default": 0, "night": 1}
    worker = await world.worker()
    assert [grant.job_id for grant in await worker.claim(1)] == [job.id]


async def test_what_cannot_be_moved_is_refused(world: World) -> None:
    """Into no queue, or when it has begun; and then nothing is different."""
    await make(world, "night")
    worker = await world.worker()
    job = await world.submit()

    with pytest.raises(RequestInvalid, match="there is no queue nihgt") as caught:
        await _move(world, job.id, "nihgt", priority=9)
    assert caught.value.problem_code == "queue_unknown"
    assert (await world.job(job.id)).priority == 0
    await worker.claim(1)
    with pytest.raises(IllegalTransition, match="is leased; only a job that has not begun"):
        await _move(world, job.id, "night")
    assert (await world.job(job.id)).queue == "default"


async def test_jobs_are_found_by_their_queue(world: World) -> None:
    """The queue in which they are now counts, not the one that was asked for."""
    await make(world, "night")
    there, moved = await world.submit(queue="night"), await world.submit()
    await world.submit()
    await _move(world, moved.id, "night")

    wanted = JobFilter(queues=frozenset({"night"}))
    found, _ = await world.read(lambda reader: list_jobs(reader, wanted, cursor=None, limit=9))

    assert [job.id for job in found] == [moved.id, there.id]
