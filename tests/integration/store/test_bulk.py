"""Orders for all jobs that a filter means."""

from functools import partial
from typing import Any

import pytest

from orchestrator.core.bulk import Preview
from orchestrator.kernel.errors import RequestInvalid
from orchestrator.protocol.bulk import BulkOrder, BulkView
from orchestrator.protocol.words import JobState
from orchestrator.server.operations import bulk
from orchestrator.server.operations.bulk import (
    NewBulk,
    advance,
    begin_bulk,
    get_bulk,
    meant,
    newest_job,
    next_of,
    open_bulk,
)
from orchestrator.server.operations.files import record_file
from orchestrator.server.operations.job_lists import list_jobs
from tests.integration.store.test_lines import make
from tests.integration.store.world import World, ended, failed


async def _preview(world: World, order: BulkOrder) -> Preview:
    upto = await world.read(newest_job)
    assert upto is not None
    looked = Preview(upto, world.now_us, 0)
    found = await world.read(partial(meant, order=order, preview=looked, position="", limit=1000))
    return Preview(upto, world.now_us, len(found.ids))


async def _step(world: World) -> bool:
    """Do one step of the oldest order, as the server does."""
    bulk_id = await world.read(open_bulk)
    if bulk_id is None:
        return False
    _, was, found = await world.read(partial(next_of, bulk_id=bulk_id))
    ids = [world.id("job") for _ in found.ids]
    await world.write(partial(advance, bulk_id=bulk_id, found=found, was=was, new_ids=ids))
    return True


async def _begun(world: World, **fields: Any) -> BulkView:
    order = BulkOrder.model_validate(fields)
    preview = await _preview(world, order)
    new = world.id("bulk")
    return await world.write(
        partial(begin_bulk, order=order, preview=preview, new=NewBulk(new, "ada", may_cancel=True))
    )


async def _done(world: World, view: BulkView) -> BulkView:
    while await _step(world):
        pass
    found = await world.read(partial(get_bulk, bulk_id=view.id))
    assert found is not None
    assert found.finished_at is not None
    return found


async def test_an_order_is_given_to_what_is_meant_and_to_nothing_else(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Step by step, each job once, with the name of whoever ordered it in its story."""
    monkeypatch.setattr(bulk, "STEP", 2)
    web = [(await world.submit(labels={"team": "web"})).id for _ in range(5)]
    other = await world.submit()

    view = await _begun(world, q="label:team=web", action="hold", comment="freeze")
    assert (view.count, view.done, view.finished_at) == (5, 0, None)
    done = await _done(world, view)

    assert (done.done, done.refused, done.changed) == (5, 0, 0)
    for job_id in web:
        assert await world.told(job_id) == ["submitted", "held"]
    assert (await world.events(web[0]))[1].data == {"by": "ada", "comment": "freeze"}
    assert (await world.job(other.id)).state is JobState.QUEUED


async def test_what_came_later_is_not_meant_and_what_changed_is_told(world: World) -> None:
    """The set is that of the preview: newer jobs stay, and those that are over are not forced."""
    first, second = await world.submit(), await world.submit()
    view = await _begun(world, q="kind:command", action="cancel")
    later = await world.submit()
    await world.cancel(first.id)

    done = await _done(world, view)

    assert (done.count, done.done, done.refused, done.changed) == (2, 1, 0, 1)
    assert (await world.job(second.id)).state is JobState.CANCELLED
    assert (await world.job(later.id)).state is JobState.QUEUED


async def test_one_preview_is_one_order(world: World) -> None:
    """Sent twice, it is there once and done once."""
    job = await world.submit()
    await world.cancel(job.id)
    order = BulkOrder.model_validate({"q": "kind:command", "action": "retry"})
    preview = await _preview(world, order)
    begin = partial(begin_bulk, order=order, preview=preview)

    first = await world.write(partial(begin, new=NewBulk(world.id("bulk"), "ada")))
    await _done(world, first)
    again = await world.write(partial(begin, new=NewBulk(world.id("bulk"), "ada")))

    assert again.id == first.id
    assert not await _step(world)
    jobs, _ = await world.read(partial(list_jobs, cursor=None, limit=10))
    assert [found.retry_of for found in jobs] == [job.id, None]


async def test_what_is_refused_was_neither_done_nor_told(world: World) -> None:
    """A repeat whose input is gone ends nobody that it would have made way for, and says so."""
    key = {"key": "deploy"}
    cancelling = [{**key, "strategy": "cancel_running"}]
    await world.write(lambda tx: record_file(tx, sha256="a" * 64, size=1))
    inputs = [{"file": "a" * 64, "name": "in"}]
    over = await world.submit(labels={"old": "1"}, concurrency=cancelling, inputs=inputs)
    await world.cancel(over.id)
    await world.write(lambda tx: tx.execute("DELETE FROM job_file"))
    await world.write(lambda tx: tx.execute("DELETE FROM file"))
    waiting = await world.submit(concurrency=[key])
    view = await _begun(world, q="label:old=1", action="retry")
    world.facts.clear()

    done = await _done(world, view)

    assert (done.done, done.refused) == (0, 1)
    assert (await world.job(waiting.id)).state is JobState.QUEUED
    assert world.facts == []


async def test_an_order_goes_on_behind_the_last_job_after_a_crash(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step that was committed is never done again, also when it is sent again."""
    monkeypatch.setattr(bulk, "STEP", 1)
    jobs = [await world.submit() for _ in range(3)]
    for job in jobs:
        await world.cancel(job.id)
    view = await _begun(world, q="state:cancelled", action="retry")
    _, was, found = await world.read(partial(next_of, bulk_id=view.id))
    step = partial(advance, bulk_id=view.id, found=found, was=was)
    await world.write(partial(step, new_ids=[world.id("job")]))
    await world.write(partial(step, new_ids=[world.id("job")]))

    await world.restart()
    done = await _done(world, view)

    assert (done.done, done.changed) == (3, 0)
    listed, _ = await world.read(partial(list_jobs, cursor=None, limit=10))
    assert sorted(found.retry_of or "" for found in listed) == ["", "", "", *(j.id for j in jobs)]


async def test_each_order_does_what_its_word_says(world: World) -> None:
    """Each of them, a forced cancel too, reaches exactly the jobs that can have it."""
    worker = await world.worker()
    good, bad = await worker.running(), await worker.running()
    await worker.report(ended(good), failed(bad))
    live = await worker.running()
    waits = await world.submit()
    await make(world, "night")

    async def ordered(**fields: Any) -> tuple[int, int]:
        done = await _done(world, await _begun(world, **fields))
        return done.count, done.done

    assert await ordered(q="kind:command", action="priority", priority=7) == (1, 1)
    assert (await world.job(waits.id)).priority == 7
    assert await ordered(q="queue:default", action="queue", queue="night") == (1, 1)
    assert await ordered(q="queue:default state:queued", action="hold") == (0, 0)
    assert (await world.job(waits.id)).queue == "night"
    with pytest.raises(RequestInvalid, match="there is no queue nihgt"):
        await _begun(world, q="kind:command", action="queue", queue="nihgt")
    assert await ordered(q="kind:command", action="hold") == (1, 1)
    assert await ordered(q="kind:command", action="release") == (1, 1)
    assert await ordered(q="state:failed", action="delete") == (1, 1)
    assert await ordered(q="kind:command", action="cancel", force=True) == (2, 2)
    assert (await world.job(live.job_id)).state is JobState.CANCELLED
    assert await ordered(q="state:expired", action="delete") == (0, 0)
    assert {job.id for job in (await world.read(partial(list_jobs, cursor=None, limit=9)))[0]} == {
        good.job_id,
        live.job_id,
        waits.id,
    }
