"""Batches: all or nothing, items that wait for each other, an end to failing, a second try."""

import contextlib
import json
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest

from orchestrator.kernel.errors import IllegalTransition, NotFound, RequestInvalid
from orchestrator.protocol.batches import BatchItem, BatchReply, BatchView
from orchestrator.protocol.queues import QueueSettings
from orchestrator.protocol.words import BatchState, Directive, JobState, Reason
from orchestrator.server.operations import batches
from orchestrator.server.operations.batch_views import batch_jobs, get_batch, list_batches
from orchestrator.server.operations.batches import (
    NewBatch,
    append,
    cancel_batch,
    close,
    create,
    retry_failed,
)
from orchestrator.server.operations.queues import delete_queue, set_queue
from orchestrator.server.operations.retention import forget_batches, forget_jobs
from orchestrator.server.operations.ring import next_ring, ring
from orchestrator.server.store.interface import Reader, Transaction
from orchestrator.server.store.savepoint import savepoint
from tests.integration.store.world import Worker, World, ended, failed, live, started
from tests.support.builders import command

S = JobState
Job = dict[str, Any]


def item(*needs: int | str, **fields: Any) -> Job:
    """Return a job of a batch that waits for other items, or for jobs."""
    wanted = [{"item": one} if isinstance(one, int) else {"job": one} for one in needs]
    return command(depends_on=wanted, **fields)


def items(jobs: Sequence[Job]) -> list[BatchItem]:
    """Return them as the server would read them."""
    return [BatchItem.model_validate_json(json.dumps(job)) for job in jobs]


async def submitted(world: World, *jobs: Job, **fields: Any) -> BatchReply:
    """Submit a batch."""
    world.clock.seconds += 0.001
    new = NewBatch(world.id("batch"), "ada", **fields)
    ids = [world.id("job") for _ in jobs]
    return await world.write(partial(create, new=new, items=items(jobs), job_ids=ids))


async def appended(world: World, batch_id: str, *jobs: Job) -> BatchReply:
    """Add jobs to a batch."""
    ids = [world.id("job") for _ in jobs]
    return await world.write(partial(append, batch_id=batch_id, items=items(jobs), job_ids=ids))


async def again(world: World, batch_id: str, most: int = 10) -> BatchReply:
    """Try the failed jobs of a batch again."""
    ids = [world.id("job") for _ in range(most)]
    return await world.write(partial(retry_failed, batch_id=batch_id, owner="ada", job_ids=ids))


async def seen(world: World, batch_id: str) -> BatchView:
    """Return a batch."""
    return await world.read(partial(get_batch, batch_id=batch_id))


async def states(world: World, job_ids: Sequence[str]) -> list[JobState]:
    """Return where jobs are."""
    return [(await world.job(job_id)).state for job_id in job_ids]


async def run_all(worker: Worker, *codes: int) -> None:
    """Run as many jobs as there are codes, one after the other, to those ends."""
    for code in codes:
        grant = await worker.claim_one()
        await worker.tell(ended(grant) if code == 0 else failed(grant, code))


def rows_of(table: str, reader: Reader) -> list[tuple[Any, ...]]:
    """Return all rows of a table."""
    return reader.tuples(f"SELECT * FROM {table}")


async def quiet(world: World) -> None:
    """Let the upkeep do all that there is to do now."""
    while await world.write(ring):
        pass


async def test_a_batch_is_many_jobs_with_one_answer(world: World, worker: Worker) -> None:
    """Its jobs are queued in the order of the items, and it counts them by their states."""
    batch = await submitted(world, *[item() for _ in range(3)], name="nightly")

    assert (batch.name, batch.state, batch.jobs) == ("nightly", BatchState.CLOSED, 3)
    assert batch.counts == {S.QUEUED: 3}
    assert (await world.job(batch.job_ids[0])).batch_id == batch.id
    await run_all(worker, 0, 3)
    assert await states(world, batch.job_ids) == [S.SUCCEEDED, S.FAILED, S.QUEUED]
    now = await seen(world, batch.id)
    assert now.counts == {S.FAILED: 1, S.QUEUED: 1, S.SUCCEEDED: 1}
    assert (now.failed, now.done) == (1, False)
    await run_all(worker, 0)
    now = await seen(world, batch.id)
    assert (now.done, now.succeeded) == (True, False)


async def test_items_depend_on_each_other_by_their_places(world: World, worker: Worker) -> None:
    """Also on a later item, and on a job that was there before."""
    before = await world.submit(priority=1)
    batch = await submitted(world, item(1), item(before.id), item(0, 1))
    assert batch.counts == {S.BLOCKED: 3}

    await run_all(worker, 0, 0, 0, 0)

    assert (await seen(world, batch.id)).counts == {S.SUCCEEDED: 3}
    began = [(await world.job(job_id)).attempts[0].claimed_at for job_id in batch.job_ids]
    assert began[1] <= began[0] <= began[2]


async def test_items_fail_at_once_with_what_has_failed_before(world: World, worker: Worker) -> None:
    """And so does what depends on them; it is one answer for all of them."""
    before = await world.submit()
    await run_all(worker, 1)

    batch = await submitted(world, item(before.id), item(0), item())

    assert await states(world, batch.job_ids) == [S.FAILED, S.FAILED, S.QUEUED]
    assert batch.counts == {S.FAILED: 2, S.QUEUED: 1}


@pytest.mark.parametrize(
    ("jobs", "faults"),
    [
        ([item(), item(2)], [("items.1.depends_on.0.item", "there is no item 2 in this call")]),
        ([item(1), item(0)], [("items.0.depends_on", "it waits for itself: 0 → 1 → 0")]),
        ([item(), item(1)], [("items.1.depends_on", "it waits for itself: 1 → 1")]),
        (
            [item("job_" + "0" * 26), item(inputs=[{"file": "0" * 64, "unpack": "zip"}])],
            [
                ("items.0.depends_on.0.job", f"there is no job job_{'0' * 26}"),
                ("items.1.inputs.0.file", "no file with this SHA-256 is stored"),
            ],
        ),
    ],
)
async def test_what_is_wrong_in_any_item_refuses_all_of_them(
    world: World, jobs: list[Job], faults: list[tuple[str, str]]
) -> None:
    """Each fault is told with the place of its item, and nothing is stored."""
    with pytest.raises(RequestInvalid) as refusal:
        await submitted(world, *jobs)

    assert refusal.value.fields == tuple(faults)
    for table in ("job", "batch", "job_spec", "job_event", "job_dependency"):
        assert await world.read(partial(rows_of, table)) == []


class Watched:
    """A transaction that remembers what it was asked."""

    def __init__(self, tx: Transaction) -> None:
        self.asked: list[str] = []
        self._tx = tx

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tx, name)

    def tuples(self, sql: str, **params: Any) -> list[Any]:
        """Ask, and remember it."""
        self.asked.append(sql)
        return self._tx.tuples(sql, **params)

    def looks_at_queues(self) -> int:
        """Return how often it was asked for queues."""
        return sum("FROM queue" in sql for sql in self.asked)


async def test_a_queue_is_looked_at_once_however_many_items_are_for_it(world: World) -> None:
    """One look for each queue that is there; another at the names for each that is not."""
    given = {"timeout_s": 60}
    night = QueueSettings.model_validate({"defaults": given})
    await world.write(partial(set_queue, name="night", asked=night))

    def looks(tx: Transaction, *queues: str) -> int:
        watched: Any = Watched(tx)
        jobs = items([item(queue=queue) for queue in queues])
        ids = [world.id("job") for _ in jobs]
        with contextlib.suppress(RequestInvalid), savepoint(tx):
            create(watched, NewBatch(world.id("batch"), "ada"), jobs, job_ids=ids)
        return int(watched.looks_at_queues())

    there = ("night", "default", "night", "default", "night")
    gone = ("nihgt", "night", "nihgt", "nihgt", "nihgt")
    assert await world.write(lambda tx: looks(tx, *there)) == 2
    assert await world.write(lambda tx: looks(tx, *gone)) == 3


async def test_an_open_batch_takes_more_until_it_is_closed(world: World, worker: Worker) -> None:
    """It is not done before, and refuses items after."""
    batch = await submitted(world, is_open=True)
    more = await appended(world, batch.id, item(), item(0))
    assert (more.state, more.jobs, len(more.job_ids)) == (BatchState.OPEN, 2, 2)
    await run_all(worker, 0, 0)
    assert not (await seen(world, batch.id)).done

    closed = await world.write(partial(close, batch_id=batch.id))

    assert (closed.state, closed.done) == (BatchState.CLOSED, True)
    assert (await world.write(partial(close, batch_id=batch.id))).closed_at == closed.closed_at
    with pytest.raises(IllegalTransition, match="takes no more jobs: it is closed"):
        await appended(world, batch.id, item())
    with pytest.raises(NotFound):
        await appended(world, world.id("batch"), item())


async def test_too_many_failures_cancel_the_rest(
    world: World, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits is cancelled by policy and what runs is ended; what is over stays."""
    monkeypatch.setattr(batches, "STOPPED_AT_ONCE", 2)
    jobs = [item(), item(), item(), item(2), item(run_at="2999-01-01T00:00:00Z")]
    batch = await submitted(world, *jobs, max_fails=1)
    first, second, third = await worker.claim(3)
    await worker.tell(started(third))
    await worker.tell(failed(first))
    assert await world.read(next_ring) != 0

    await worker.tell(failed(second))

    assert await world.read(next_ring) == 0
    await world.restart()
    await quiet(world)
    assert await states(world, batch.job_ids[:3]) == [S.FAILED, S.FAILED, S.CANCELLING]
    for job_id in batch.job_ids[3:]:
        shown = await world.job(job_id)
        assert (shown.state, shown.reason) == (S.CANCELLED, Reason.CANCELLED_BY_POLICY)
    orders = (await worker.heartbeat(live(third))).orders
    assert [one.directive for one in orders] == [Directive.CANCEL]
    await worker.tell(ended(third))
    now = await seen(world, batch.id)
    assert (now.state, now.stopped_by, now.done) == (BatchState.CANCELLED, "policy", True)
    assert (await world.job(third.job_id)).reason is Reason.CANCELLED_BY_POLICY


async def test_a_failure_that_only_follows_from_another_is_not_counted(
    world: World, worker: Worker
) -> None:
    """Three jobs behind one that failed are one failure."""
    batch = await submitted(world, item(), item(0), item(1), item(), max_fails=1)

    await run_all(worker, 1)
    await quiet(world)

    now = await seen(world, batch.id)
    assert (now.failed, now.repeatable, now.state) == (1, 3, BatchState.CLOSED)
    assert now.counts == {S.FAILED: 3, S.QUEUED: 1}


async def test_a_batch_is_cancelled_as_a_whole(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many jobs it has, all end, by the person who asked; other jobs do not notice."""
    monkeypatch.setattr(batches, "STOPPED_AT_ONCE", 2)
    other = await world.submit()
    batch = await submitted(world, item(), item(0), item(1), item(2), item())

    await world.write(partial(cancel_batch, batch_id=batch.id, by="bob", comment="enough"))
    await quiet(world)
    twice = await world.write(partial(cancel_batch, batch_id=batch.id, by="eve"))

    assert (twice.counts, twice.stopped_by, twice.done) == ({S.CANCELLED: 5}, "bob", True)
    shown = await world.job(batch.job_ids[0])
    assert shown.reason is Reason.CANCELLED_BY_USER
    told = (await world.events(shown.id))[1]
    assert (told.type, told.data) == ("cancel_requested", {"by": "bob", "comment": "enough"})
    assert (await world.job(other.id)).state is S.QUEUED
    assert await world.read(next_ring) is None


async def test_only_what_failed_is_tried_again_and_each_once(world: World, worker: Worker) -> None:
    """The new jobs depend on each other as the old ones did; asked twice, nothing is left to do."""
    batch = await submitted(world, item(), item(), item(1), item(2, 0))
    await run_all(worker, 0, 1)
    assert await states(world, batch.job_ids) == [S.SUCCEEDED, S.FAILED, S.FAILED, S.FAILED]

    new = await again(world, batch.id)

    olds = [(await world.job(job_id)).retry_of for job_id in new.job_ids]
    assert olds == batch.job_ids[1:]
    assert await states(world, new.job_ids) == [S.QUEUED, S.BLOCKED, S.BLOCKED]
    assert (new.more, new.failed, new.repeatable) == (False, 0, 0)
    assert (await again(world, batch.id)).job_ids == []
    await run_all(worker, 0, 0, 0)
    now = await seen(world, batch.id)
    assert now.counts == {S.FAILED: 3, S.SUCCEEDED: 4}
    assert (now.done, now.succeeded) == (True, True)


async def test_a_second_try_that_fails_may_have_a_third(world: World, worker: Worker) -> None:
    """One call does no more than it has ids for, and says that there is more."""
    batch = await submitted(world, item(), item(), item(), max_fails=5)
    await run_all(worker, 1, 1, 1)

    first = await again(world, batch.id, most=2)
    rest = await again(world, batch.id, most=2)

    assert (first.more, len(first.job_ids), rest.more, len(rest.job_ids)) == (True, 2, False, 1)
    await run_all(worker, 1, 0, 0)
    third = await again(world, batch.id)
    assert [(await world.job(one)).retry_of for one in third.job_ids] == first.job_ids[:1]


async def test_a_second_try_without_its_queue_is_refused(world: World, worker: Worker) -> None:
    """Nobody would serve it there: the queue has to be made again first."""
    await world.write(partial(set_queue, name="web", asked=QueueSettings()))
    batch = await submitted(world, item(queue="web"))
    await run_all(worker, 1)
    await world.write(partial(delete_queue, name="web"))

    with pytest.raises(RequestInvalid, match="there is no queue web"):
        await again(world, batch.id)

    await world.write(partial(set_queue, name="web", asked=QueueSettings()))
    (job_id,) = (await again(world, batch.id)).job_ids
    assert (await worker.claim_one()).job_id == job_id


async def test_a_cancelled_batch_of_which_nothing_failed_stays_cancelled(world: World) -> None:
    """Where there is nothing to try again, nothing goes on."""
    batch = await submitted(world, item())
    await world.write(partial(cancel_batch, batch_id=batch.id, by="bob"))

    told = await again(world, batch.id)

    assert (told.job_ids, told.state, told.stopped_by) == ([], BatchState.CANCELLED, "bob")


async def test_batches_and_their_jobs_are_listed_in_pages(world: World) -> None:
    """Batches come newest first, jobs in the order of the items; states narrow them down."""
    one, two = [await submitted(world, item(), item(0), item()) for _ in range(2)]

    page, following = await world.read(partial(list_batches, cursor=None, limit=1))
    rest, end = await world.read(partial(list_batches, cursor=following, limit=5))

    assert [[batch.id for batch in some] for some in (page, rest)] == [[two.id], [one.id]]
    assert end is None
    look = partial(batch_jobs, batch_id=one.id, states=[], limit=2)
    jobs, following = await world.read(partial(look, cursor=None))
    others, end = await world.read(partial(look, cursor=following))
    assert [job.id for job in (*jobs, *others)] == one.job_ids
    look = partial(batch_jobs, batch_id=one.id, states=[S.BLOCKED, S.HELD], limit=2)
    jobs, _ = await world.read(partial(look, cursor=None))
    assert [job.id for job in jobs] == one.job_ids[1:2]


async def test_a_batch_is_forgotten_with_the_last_of_its_jobs(world: World, worker: Worker) -> None:
    """One that has jobs, is young or may still get some is kept."""
    batch, empty = await submitted(world, item()), await submitted(world, is_open=True)
    await run_all(worker, 0)
    world.clock.seconds += 100 * 24 * 3600
    young = await submitted(world, is_open=True)

    await world.write(forget_batches)
    assert (await seen(world, batch.id)).jobs == 1
    await world.write(partial(forget_jobs, jobs=[(batch.job_ids[0], S.SUCCEEDED)]))
    await world.write(forget_batches)

    for gone in (batch, empty):
        with pytest.raises(NotFound):
            await seen(world, gone.id)
    assert (await seen(world, young.id)).state is BatchState.OPEN
