"""Heartbeats: who is there, what never arrived, and which orders are open."""

import pytest

from orchestrator.kernel.errors import LeaseLost, NotFound
from orchestrator.protocol.words import Directive, JobState, Outcome
from orchestrator.server.facts import OrderPending
from tests.integration.store.world import World, ended, live, started


async def test_a_heartbeat_keeps_every_attempt_of_a_session(world: World) -> None:
    """As long as its session is renewed, no attempt is lost."""
    worker = await world.worker()
    grants = [await worker.running() for _ in range(3)]

    for _ in range(30):
        assert await world.pass_time(15) == 0
        await worker.heartbeat(*map(live, grants))

    for grant in grants:
        assert (await world.job(grant.job_id)).state is JobState.RUNNING


async def test_a_grant_that_never_arrived_goes_back(world: World) -> None:
    """A grant that the worker does not list, though its claim was answered, was lost on the way."""
    await world.submit()
    worker = await world.worker()
    grant = await worker.claim_one()

    await worker.heartbeat(claim_seen=1)

    job = await world.job(grant.job_id)
    assert (job.state, job.attempts[0].outcome) == (JobState.QUEUED, Outcome.RELEASED)
    assert (await worker.claim_one()).attempt == 2


async def test_a_grant_that_is_under_way_is_left_alone(world: World) -> None:
    """A heartbeat that was sent before the claim was answered says nothing about it."""
    await world.submit()
    worker = await world.worker()
    grant = await worker.claim_one()

    await worker.heartbeat(claim_seen=0)

    assert (await world.job(grant.job_id)).state is JobState.LEASED


async def test_a_grant_that_is_listed_is_left_alone(world: World) -> None:
    """What the worker has and did not start yet is still its own."""
    await world.submit()
    worker = await world.worker()
    grant = await worker.claim_one()

    reply = await worker.heartbeat(live(grant))

    assert reply.orders == []
    assert (await world.job(grant.job_id)).state is JobState.LEASED


async def test_what_started_is_never_taken_back(world: World) -> None:
    """An attempt that runs is not given to anybody because a list forgot it."""
    worker = await world.worker()
    grant = await worker.running()

    await worker.heartbeat()

    assert (await world.job(grant.job_id)).state is JobState.RUNNING


async def test_a_worker_that_did_have_the_grant_is_told_to_abandon_it(world: World) -> None:
    """If the taken back attempt starts all the same, its worker learns that it may not."""
    await world.submit()
    worker = await world.worker()
    grant = await worker.claim_one()
    await worker.heartbeat()

    ack = await worker.tell(started(grant))

    assert ack.directive is Directive.ABANDON
    assert (await world.job(grant.job_id)).state is JobState.QUEUED


async def test_a_cancel_is_ordered_until_the_worker_shows_it(world: World) -> None:
    """The order is repeated until the heartbeat says that it is known."""
    worker = await world.worker()
    grant = await worker.running()
    await world.cancel(grant.job_id)
    assert OrderPending(worker.session) in world.facts

    for _ in range(2):
        (order,) = (await worker.heartbeat(live(grant))).orders
        assert (order.job_id, order.attempt) == (grant.job_id, 1)
        assert order.directive is Directive.CANCEL
    reply = await worker.heartbeat(live(grant, cancelling=True))

    assert reply.orders == []


async def test_a_cancel_reaches_what_came_while_the_heartbeat_waited(world: World) -> None:
    """An attempt that was claimed after the heartbeat was sent is cancelled by its answer."""
    await world.submit()
    worker = await world.worker()
    grant = await worker.claim_one()
    await world.cancel(grant.job_id)

    (order,) = (await worker.heartbeat(claim_seen=0)).orders

    assert (order.job_id, order.directive) == (grant.job_id, Directive.CANCEL)


async def test_a_cancelled_grant_that_never_arrived_is_cancelled(world: World) -> None:
    """Nothing runs and nothing will, so the job is over."""
    await world.submit()
    worker = await world.worker()
    grant = await worker.claim_one()
    await world.cancel(grant.job_id)

    await worker.heartbeat()

    assert (await world.job(grant.job_id)).state is JobState.CANCELLED


async def test_what_is_not_the_sessions_is_to_be_abandoned(world: World) -> None:
    """Lost attempts, other workers' and unknown ones are all answered with abandon."""
    worker, other = await world.worker("w1"), await world.worker("w2")
    lost = await worker.running()
    await world.pass_time(80)
    await other.heartbeat()
    foreign = await other.claim_one()
    unknown = lost.model_copy(update={"job_id": world.id("job")})

    orders = (await worker.heartbeat(live(lost), live(foreign), live(unknown))).orders

    assert [order.directive for order in orders] == [Directive.ABANDON] * 3
    assert [order.attempt for order in orders] == [1, 2, 1]


async def test_an_end_whose_answer_is_under_way_is_no_stranger(world: World) -> None:
    """A worker that lists what it just reported is not told to abandon it."""
    worker = await world.worker()
    grant = await worker.running()
    await worker.tell(ended(grant))

    assert (await worker.heartbeat(live(grant))).orders == []


async def test_a_heartbeat_tells_the_time(world: World) -> None:
    """The reply carries the server's time."""
    worker = await world.worker()

    assert (await worker.heartbeat()).server_time_us == world.now_us


async def test_a_session_that_is_over_is_not_renewed(world: World) -> None:
    """The worker is told to open a new one."""
    worker = await world.worker()
    await worker.goodbye()

    with pytest.raises(LeaseLost):
        await worker.heartbeat()


async def test_only_its_worker_renews_a_session(world: World) -> None:
    """A session belongs to one worker."""
    worker, eve = await world.worker("w1"), await world.worker("eve")
    eve.session = worker.session

    with pytest.raises(NotFound):
        await eve.heartbeat()
