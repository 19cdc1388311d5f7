"""A job that may be started only once: waited for, never given to anybody else."""

from typing import Any

import pytest

from orchestrator.protocol.words import Execution, JobState, Outcome, Reason
from tests.integration.store.world import World, ended, failed, held, live, started

ONCE: dict[str, Any] = {"execution": Execution.AT_MOST_ONCE}


async def test_a_start_is_confirmed_to_who_holds_the_attempt(world: World) -> None:
    """The answer to a start says that it is recorded; the pid comes with a second one."""
    worker = await world.worker()
    await world.submit(**ONCE)
    grant = await worker.claim_one()
    assert grant.execution is Execution.AT_MOST_ONCE

    assert (await worker.tell(started(grant, pid=None))).started
    assert (await worker.tell(started(grant, pid=17))).started

    job = await world.job(grant.job_id)
    assert (job.state, job.attempts[0].pid) == (JobState.RUNNING, 17)
    assert (await world.told(grant.job_id)).count("started") == 1


async def test_no_start_is_confirmed_that_nobody_wants(world: World) -> None:
    """A cancelled job, and one whose attempt was lost, never hear that they may start."""
    worker = await world.worker()
    for _ in range(2):
        await world.submit(**ONCE)
    cancelled, lost = await worker.claim(2)
    await world.cancel(cancelled.job_id)

    assert not (await worker.tell(started(cancelled))).started
    await world.pass_time(1000)
    ack = await worker.tell(started(lost))

    assert (ack.started, ack.directive) == (False, "abandon")


async def test_an_absent_worker_is_waited_for(world: World) -> None:
    """Within its window the job stays running; its worker comes back with the end."""
    worker = await world.worker()
    grant = await worker.running(**ONCE)

    assert await world.pass_time(850) == 0
    assert (await world.job(grant.job_id)).state is JobState.RUNNING
    reply = await worker.connect(held(grant, "ended"))
    ack = await worker.tell(ended(grant))

    assert reply.verdicts[0].verdict == "report"
    assert ack.settled
    job = await world.job(grant.job_id)
    assert (job.state, job.attempt) == (JobState.SUCCEEDED, 1)


@pytest.mark.parametrize(("window_s", "at_s"), [(900.0, 900), (60.0, 60), (300.0, 300)])
async def test_when_the_window_is_over_the_outcome_is_unknown(
    world: World, window_s: float, at_s: int
) -> None:
    """It fails for good, is given to nobody, and what is reported later is kept beside it."""
    worker = await world.worker()
    grant = await worker.running(**ONCE, reattach_window_s=window_s)

    assert await world.pass_time(at_s) == 0
    assert await world.pass_time(20) == 1

    job = await world.job(grant.job_id)
    assert (job.state, job.reason) == (JobState.FAILED, Reason.OUTCOME_UNKNOWN)
    assert job.message is not None
    assert "nobody knows" in job.message
    assert (await worker.connect(held(grant, "ended"))).verdicts[0].verdict == "report"
    assert (await worker.tell(ended(grant))).directive == "abandon"
    after = await world.job(grant.job_id)
    assert after.state is JobState.FAILED
    assert after.attempts[0].late_result is not None
    assert after.attempts[0].late_result["outcome"] == "succeeded"
    assert await worker.claim() == []


async def test_the_window_stands_still_while_no_server_runs(world: World) -> None:
    """Its time is the lease clock's: an hour without a server costs nothing of it."""
    worker = await world.worker()
    grant = await worker.running(**ONCE)
    await world.pass_time(800)

    world.clock.seconds += 3600
    await world.restart()
    await world.pass_time(90)

    assert (await world.job(grant.job_id)).state is JobState.RUNNING
    await worker.heartbeat(live(grant))
    await world.pass_time(600)
    assert (await world.job(grant.job_id)).state is JobState.RUNNING


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (Outcome.INDETERMINATE, Reason.OUTCOME_UNKNOWN),
        (Outcome.PREEMPTED, Reason.INTERRUPTED),
        (Outcome.LOST, Reason.OUTCOME_UNKNOWN),
    ],
)
async def test_what_would_send_another_job_back_ends_this_one(
    world: World, outcome: Outcome, reason: Reason
) -> None:
    """Interrupted or unknown: it is not tried again, and says which."""
    worker = await world.worker()
    grant = await worker.running(**ONCE)

    await worker.tell(ended(grant, outcome))

    job = await world.job(grant.job_id)
    assert (job.state, job.reason) == (JobState.FAILED, reason)
    assert await worker.claim() == []


async def test_a_worker_that_forgot_it_ends_it(world: World) -> None:
    """A spool that does not know the attempt cannot say whether it ran."""
    worker = await world.worker()
    grant = await worker.running(**ONCE)

    await worker.connect()

    job = await world.job(grant.job_id)
    assert (job.state, job.reason) == (JobState.FAILED, Reason.OUTCOME_UNKNOWN)
    assert job.attempts[0].outcome is Outcome.INDETERMINATE


async def test_its_own_failure_is_final(world: World) -> None:
    """A command that failed was started, so it is not started again."""
    worker = await world.worker()
    grant = await worker.running(**ONCE)

    await worker.tell(failed(grant, 75))

    assert (await world.job(grant.job_id)).reason is Reason.EXIT_NONZERO


async def test_the_window_runs_from_the_later_of_claim_and_last_word(world: World) -> None:
    """A claim is a word of the worker: what it took late is waited for as long as anything else."""
    worker = await world.worker()
    await world.submit(**ONCE, reattach_window_s=100)
    await world.pass_time(50)
    await worker.claim_one()

    assert await world.pass_time(85) == 0
    assert await world.pass_time(35) == 1
