"""Cancelling: at once when nothing runs, by order when something does, first commit wins."""

import pytest

from orchestrator.kernel.errors import NotFound
from orchestrator.protocol.words import JobState, Outcome, Reason
from orchestrator.server.facts import JobChanged, OrderPending
from orchestrator.server.operations.cancel import cancel
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


async def test_force_ends_a_running_job_at_once(world: World) -> None:
    """The job is cancelled, unconfirmed; its slot is free; its worker is told to end it."""
    worker = await world.worker(slots=1)
    grant = await worker.running()
    await world.submit()

    told = await world.write(lambda tx: cancel(tx, grant.job_id, by="ada", force=True))

    assert (told.state, told.reason) == (JobState.CANCELLED, Reason.CANCELLED_BY_USER)
    assert told.confirmed is False
    assert told.message is not None
    assert OrderPending(worker.session) in world.facts
    (order,) = (await worker.heartbeat(live(grant))).orders
    assert (order.job_id, order.directive) == (grant.job_id, "abandon")
    assert len(await worker.claim()) == 1


async def test_a_late_word_confirms_a_forced_cancel(world: World) -> None:
    """What the worker says of its processes' end changes nothing but the doubt."""
    worker = await world.worker()
    grant = await worker.running()
    await world.cancel(grant.job_id)
    forced = await world.write(lambda tx: cancel(tx, grant.job_id, by="ada", force=True))
    assert forced.confirmed is False

    ack = await worker.tell(ended(grant, Outcome.CANCELLED, signal=15))

    job = await world.job(grant.job_id)
    assert (ack.settled, ack.directive) == (False, "abandon")
    assert (job.state, job.confirmed) == (JobState.CANCELLED, True)
    assert job.attempts[0].late_result is not None
    assert await world.told(grant.job_id) == [
        *("submitted", "claimed", "started", "cancel_requested", "cancel_requested"),
        *("lost", "finished", "late_result"),
    ]


async def test_a_cancel_that_was_seen_to_the_end_is_confirmed(world: World) -> None:
    """What was left behind is counted; a lost worker leaves doubt; others know no such word."""
    worker = await world.worker()
    seen, lost, other = await worker.running(), await worker.running(), await worker.running()
    for grant in (seen, lost):
        await world.cancel(grant.job_id)

    await worker.tell(ended(seen, Outcome.CANCELLED, leftovers=2))
    await worker.tell(ended(other))
    await world.pass_time(80)

    job = await world.job(seen.job_id)
    assert (job.confirmed, job.attempts[0].leftovers) == (True, 2)
    assert (await world.job(lost.job_id)).confirmed is False
    assert (await world.job(other.job_id)).confirmed is None


async def test_force_is_for_what_runs(world: World) -> None:
    """A job that waits is cancelled for sure, and one that is over stays what it is."""
    worker = await world.worker()
    done = await worker.running()
    await worker.tell(ended(done))
    waits = await world.submit()

    for job_id, state in ((waits.id, JobState.CANCELLED), (done.job_id, JobState.SUCCEEDED)):
        told = await world.write(lambda tx, it=job_id: cancel(tx, it, by="ada", force=True))  # type: ignore[misc]  # a default binds it
        assert told.state is state
        assert told.confirmed is not False
