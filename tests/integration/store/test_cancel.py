"""Cancelling: at once when nothing runs, by order when something does, first commit wins."""

import pytest

from orchestrator.kernel.errors import NotFound
from orchestrator.protocol.words import JobState, Outcome, Reason
from orchestrator.server.facts import JobChanged
from tests.integration.store.world import World, ended, failed, live, released, started


@pytest.mark.parametrize("run_at", [None, "2100-01-01T00:00:00Z"])
async def test_a_job_that_waits_is_cancelled_at_once(world: World, run_at: str | None) -> None:
    """A job without an attempt never starts after its cancel was answered."""
    job = await world.submit(run_at=run_at)

    told = await world.cancel(job.id)

    assert (told.state, told.reason) == (JobState.CANCELLED, Reason.CANCELLED_BY_USER)
    assert told.finished_at is not None
    assert await world.told(job.id) == ["submitted", "cancel_requested", "finished"]
    assert (await world.events(job.id))[1].data == {"by": "ada", "comment": "enough"}
    assert world.facts[-1] == JobChanged(job.id)
    worker = await world.worker()
    assert await worker.claim() == []


async def test_a_running_job_is_cancelled_when_its_processes_are_gone(world: World) -> None:
    """Until its worker confirms the end, the job is cancelling."""
    worker = await world.worker()
    grant = await worker.running()

    assert (await world.cancel(grant.job_id)).state is JobState.CANCELLING
    ack = await worker.tell(ended(grant, Outcome.CANCELLED))

    assert ack.settled
    job = await world.job(grant.job_id)
    assert (job.state, job.reason) == (JobState.CANCELLED, Reason.CANCELLED_BY_USER)


@pytest.mark.parametrize("outcome", [Outcome.SUCCEEDED, Outcome.FAILED, Outcome.PREEMPTED])
async def test_whatever_happens_after_the_cancel_the_job_is_cancelled(
    world: World, outcome: Outcome
) -> None:
    """The cancel was first; how the attempt ended is kept with the attempt."""
    worker = await world.worker()
    grant = await worker.running(retry={"max_attempts": 5})
    await world.cancel(grant.job_id)

    await worker.tell(ended(grant, outcome, exit_code=0))

    job = await world.job(grant.job_id)
    assert (job.state, job.attempts[0].outcome) == (JobState.CANCELLED, outcome)


async def test_a_grant_is_cancelled_before_it_starts(world: World) -> None:
    """A worker that gives a cancelled grant back ends the job; one that starts it is ordered."""
    worker = await world.worker()
    for _ in range(2):
        await world.submit()
    first, second = await worker.claim(2)
    for grant in (first, second):
        assert (await world.cancel(grant.job_id)).state is JobState.CANCELLING

    await worker.report(released(first), started(second))

    assert (await world.job(first.job_id)).state is JobState.CANCELLED
    assert (await world.job(second.job_id)).state is JobState.CANCELLING
    assert len((await worker.heartbeat(live(second))).orders) == 1


async def test_an_end_before_the_cancel_wins(world: World) -> None:
    """A cancel that comes too late changes nothing, and says how the job ended."""
    worker = await world.worker()
    good, bad = await worker.running(), await worker.running()
    await worker.report(ended(good), failed(bad))

    assert (await world.cancel(good.job_id)).state is JobState.SUCCEEDED
    assert (await world.cancel(bad.job_id)).state is JobState.FAILED
    assert "cancel_requested" not in await world.told(good.job_id)


async def test_cancelling_twice_is_cancelling_once(world: World) -> None:
    """A repeated cancel is answered alike and leaves no second trace."""
    worker = await world.worker()
    grant = await worker.running()
    first = await world.cancel(grant.job_id)

    assert await world.cancel(grant.job_id) == first
    assert (await world.told(grant.job_id)).count("cancel_requested") == 1


async def test_a_lost_worker_does_not_keep_a_job_from_being_cancelled(world: World) -> None:
    """When the lease of a cancelling job ends, the job is cancelled."""
    worker = await world.worker()
    grant = await worker.running()
    await world.cancel(grant.job_id)

    await world.pass_time(80)

    job = await world.job(grant.job_id)
    assert (job.state, job.attempts[0].outcome) == (JobState.CANCELLED, Outcome.LOST)


async def test_a_job_that_is_not_there_is_not_found(world: World) -> None:
    """Cancelling nothing says so."""
    with pytest.raises(NotFound):
        await world.cancel(world.id("job"))
