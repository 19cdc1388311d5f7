"""What a worker offers may change while its session and its attempts go on."""

from orchestrator.protocol.wire import Offer
from orchestrator.server.facts import Claimable, SessionChanged
from orchestrator.server.operations.requirements import (
    requirement_id,
    requirement_of,
    session_requirements,
)
from tests.integration.store.world import World, live
from tests.support.builders import delay, spec

GPU = {"requires": {"tags": ["gpu"]}}


def _offer(*tags: str, slots: int = 8) -> Offer:
    return Offer(slots=slots, kinds=["command", "delay"], tags=list(tags))


async def test_a_new_tag_brings_the_work_that_waited_for_it(world: World) -> None:
    """A worker that gains a tag is given what asks for it, without a new session."""
    job = await world.submit(**GPU)
    worker = await world.worker()
    assert await worker.claim() == []
    session = worker.session

    await worker.heartbeat(offer=_offer("gpu"))

    assert [grant.job_id for grant in await worker.claim()] == [job.id]
    assert worker.session == session
    fits = requirement_id(requirement_of(spec(**GPU)))
    assert SessionChanged(session, frozenset({fits})) in world.facts
    assert await world.read(session_requirements) == {session: frozenset({fits})}


async def test_a_lost_tag_takes_no_attempt_away(world: World) -> None:
    """What was granted goes on and is renewed; only what is claimed from now on is another."""
    worker = await world.worker()
    await worker.heartbeat(offer=_offer("gpu"))
    grant = await worker.running(**GPU)
    await world.submit(**GPU)

    reply = await worker.heartbeat(live(grant), offer=_offer())

    assert reply.orders == []
    assert (await world.job(grant.job_id)).state == "running"
    assert await worker.claim() == []


async def test_what_a_worker_cannot_take_any_more_is_called_out_again(world: World) -> None:
    """A worker that was woken for a job and lost the tag for it leaves it to another one."""
    worker = await world.worker()
    await worker.heartbeat(offer=_offer("gpu"))
    await world.submit(**GPU)
    await world.submit(**GPU)
    fits = requirement_id(requirement_of(spec(**GPU)))
    world.facts.clear()

    await worker.heartbeat(offer=_offer())

    assert Claimable(fits, 2) in world.facts


async def test_the_same_offer_again_changes_nothing(world: World) -> None:
    """It comes with every heartbeat, in any order; nobody is woken for it."""
    await world.submit(delay())
    worker = await world.worker()
    await worker.heartbeat(offer=_offer("b", "a"))
    world.facts.clear()

    await worker.heartbeat(offer=_offer("a", "b", "a"))

    assert not [fact for fact in world.facts if isinstance(fact, SessionChanged)]


async def test_more_slots_are_seen(world: World) -> None:
    """A queued job waits for a free slot, and with more slots it does not."""
    worker = await world.worker()
    await worker.heartbeat(offer=_offer(slots=1))
    grant = await worker.running()
    job = await world.submit()
    assert (await world.job(job.id)).pending_reason == "all_slots_busy"

    await worker.heartbeat(live(grant), offer=_offer(slots=2))

    assert (await world.job(job.id)).pending_reason == "starting"


async def test_a_paused_worker_is_no_free_one(world: World) -> None:
    """It offers no slots: a job that it could do is not about to start, and what it has goes on."""
    worker = await world.worker()
    grant = await worker.running()
    job = await world.submit()

    reply = await worker.heartbeat(live(grant), offer=_offer(slots=0))

    assert reply.orders == []
    assert (await world.job(job.id)).pending_reason == "all_slots_busy"
