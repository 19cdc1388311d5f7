"""Upkeep: leases end when they should and not before, whatever clocks and servers do."""

import pytest

from orchestrator.protocol.limits import LEASE_S, REAPER_S
from orchestrator.protocol.words import JobState, Outcome, PendingReason, Reason
from orchestrator.server.facts import Claimable, Scheduled
from orchestrator.server.operations.upkeep import BATCH, next_due, tick
from tests.integration.store.world import World, ended, live, started


async def test_a_lease_lasts_as_long_as_promised(world: World) -> None:
    """Without a heartbeat an attempt is lost after its lease and before another quarter of it."""
    worker = await world.worker()
    grant = await worker.running()
    since = world.clock.seconds

    while (await world.job(grant.job_id)).state is JobState.RUNNING:
        await world.pass_time(1)

    assert LEASE_S <= world.clock.seconds - since <= LEASE_S + 3 * REAPER_S
    job = await world.job(grant.job_id)
    assert (job.state, job.pending_reason) == (JobState.SCHEDULED, PendingReason.BACKOFF)
    assert (job.attempts[0].outcome, job.attempts[0].reason) == (Outcome.LOST, "worker_lost")


@pytest.mark.parametrize("phase", [0.0, 1.0, 4.9])
async def test_a_lease_is_never_shorter_because_of_the_ticks(world: World, phase: float) -> None:
    """A renewal between two ticks is worth a whole lease, wherever between them it falls."""
    worker = await world.worker()
    grant = await worker.running()
    await world.pass_time(20)
    world.clock.seconds += phase
    await worker.heartbeat(live(grant))
    renewed = world.clock.seconds
    # The rest of this period, in which nobody ticked at the heartbeat.
    world.clock.seconds += REAPER_S - phase
    await world.write(lambda tx: tick(tx, elapsed_us=round(REAPER_S * 1_000_000)))

    while world.clock.seconds - renewed < LEASE_S - 0.1:
        await world.pass_time(min(REAPER_S, LEASE_S - 0.1 - (world.clock.seconds - renewed)))
        assert (await world.job(grant.job_id)).state is JobState.RUNNING


async def test_a_claim_is_worth_a_lease_too(world: World) -> None:
    """A grant counts from its claim, even if the session was renewed long before."""
    worker = await world.worker()
    await world.pass_time(LEASE_S - 5)
    await world.submit()
    grant = await worker.claim_one()

    await world.pass_time(LEASE_S - 5)
    assert (await world.job(grant.job_id)).state is JobState.LEASED
    await world.pass_time(20)

    assert (await world.job(grant.job_id)).attempts[0].outcome is Outcome.LOST


async def test_downtime_costs_nobody_a_lease(world: World) -> None:
    """After a restart every attempt has a whole lease, however long the server was away."""
    worker = await world.worker()
    grant = await worker.running()
    await world.pass_time(LEASE_S - 1)
    world.clock.seconds += 24 * 3600
    await world.restart()

    assert await world.pass_time(LEASE_S - 1) == 0
    assert (await world.job(grant.job_id)).state is JobState.RUNNING
    assert await world.pass_time(3 * REAPER_S) == 1


async def test_a_server_that_stood_still_loses_nobody(world: World) -> None:
    """An hour between two ticks counts as two periods of them."""
    worker = await world.worker()
    grant = await worker.running()

    for _ in range(3):
        world.clock.seconds += 3600
        await world.write(lambda tx: tick(tx, elapsed_us=3600 * 1_000_000))

    assert (await world.job(grant.job_id)).state is JobState.RUNNING


@pytest.mark.parametrize("jump", [-3600.0, 10 * 365 * 86_400.0])
async def test_the_wall_clock_may_jump(world: World, jump: float) -> None:
    """A clock that is set ends no lease and prolongs none."""
    worker = await world.worker()
    grant = await worker.running()
    world.clock.seconds += jump

    assert await world.pass_time(LEASE_S - 5) == 0
    assert await world.pass_time(4 * REAPER_S) == 1
    assert (await world.job(grant.job_id)).attempts[0].outcome is Outcome.LOST


async def test_many_losses_are_done_in_pieces(world: World) -> None:
    """A tick does a bounded amount and says that there is more."""
    jobs = BATCH + 20
    for _ in range(jobs):
        await world.submit()
    worker = await world.worker(slots=1024)
    for _ in range(3):
        await worker.claim(256)
    ten_s = 10_000_000
    for _ in range(6):
        await world.write(lambda tx: tick(tx, elapsed_us=ten_s))

    first = await world.write(lambda tx: tick(tx, elapsed_us=ten_s))
    second = await world.write(lambda tx: tick(tx, elapsed_us=0))

    assert (first.lost, first.more) == (BATCH, True)
    assert (second.lost, second.more) == (jobs - BATCH, False)


async def test_a_lost_job_ends_as_poison(world: World) -> None:
    """A job that loses every worker it meets is not tried for ever."""
    worker = await world.worker()
    job = await world.submit(max_lost=2)
    for attempt in (1, 2, 3):
        await worker.heartbeat()
        grant = await worker.claim_one()
        assert grant.attempt == attempt
        await worker.tell(started(grant))
        assert await world.pass_time(LEASE_S + 15) == 1
        await world.pass_time(60)

    shown = await world.job(job.id)
    assert (shown.state, shown.reason) == (JobState.FAILED, "poison")
    assert [attempt.outcome for attempt in shown.attempts] == [Outcome.LOST] * 3


async def test_losses_do_not_use_up_retries(world: World) -> None:
    """The job's own failures are counted apart from its workers' deaths."""
    worker = await world.worker()
    grant = await worker.running(retry={"max_attempts": 2}, max_lost=1)
    await world.pass_time(LEASE_S + 15)
    await worker.heartbeat()
    again = await worker.claim_one()

    await worker.tell(started(again), ended(again, Outcome.FAILED, reason=Reason.EXIT_NONZERO))

    assert (await world.job(grant.job_id)).state is JobState.SCHEDULED


async def test_due_jobs_are_queued_in_the_order_of_their_moments(world: World) -> None:
    """A job that was due first is served first, even if the server was late for both."""
    late = await world.submit(run_at="2027-06-01T00:00:20Z")
    early = await world.submit(run_at="2027-06-01T00:00:10Z")
    assert await world.read(next_due) == round(early.run_at.timestamp() * 1e6)  # type: ignore[union-attr]
    assert [fact.due_us for fact in world.facts if isinstance(fact, Scheduled)][1] == (
        await world.read(next_due)
    )
    world.clock.seconds = late.run_at.timestamp() + 5  # type: ignore[union-attr]
    world.facts.clear()

    await world.pass_time(1)

    assert await world.read(next_due) is None
    assert sum(fact.count for fact in world.facts if isinstance(fact, Claimable)) == 2
    worker = await world.worker()
    assert [grant.job_id for grant in await worker.claim(2)] == [early.id, late.id]
