"""Reporting: what a worker is believed, and what happens to the job then."""

import pytest

from orchestrator.kernel.errors import NotFound
from orchestrator.protocol.base import moment
from orchestrator.protocol.limits import RESULT_BYTES
from orchestrator.protocol.words import Directive, JobState, Outcome, PendingReason, Reason
from orchestrator.server.facts import Claimable, JobChanged
from tests.integration.store.world import (
    World,
    ended,
    failed,
    key,
    released,
    started,
)
from tests.support.builders import delay

RETRY = {"max_attempts": 3, "backoff": {"initial_s": 10, "factor": 2, "max_s": 60}}


async def test_a_job_goes_from_claim_to_success(world: World) -> None:
    """Start and end are shown with the worker's times, the pid and the result."""
    job = await world.submit(delay())
    worker = await world.worker()
    grant = await worker.claim_one()
    world.clock.seconds += 10
    began = world.now_us - 7_000_000
    await worker.tell(started(grant, at_us=began, pid=77))
    assert (await world.job(job.id)).state is JobState.RUNNING

    over = world.now_us - 2_000_000
    ack = await worker.tell(ended(grant, at_us=over, result={"ok": True, "took_ms": 9}))

    assert (ack.settled, ack.directive, ack.output_offset) == (True, None, 0)
    shown = await world.job(job.id)
    assert (shown.state, shown.reason, shown.result) == (
        JobState.SUCCEEDED,
        None,
        {"ok": True, "took_ms": 9},
    )
    assert (shown.started_at, shown.finished_at) == (moment(began), moment(over))
    (attempt,) = shown.attempts
    assert (attempt.outcome, attempt.pid, attempt.worker) == (Outcome.SUCCEEDED, 77, "w1")
    assert await world.told(job.id) == ["submitted", "claimed", "started", "ended", "finished"]


async def test_the_timeline_counts_without_gaps(world: World) -> None:
    """Every event has the next number, whoever wrote it."""
    worker = await world.worker()
    grant = await worker.running(retry=RETRY)
    await worker.tell(failed(grant))
    await world.pass_time(30)
    await world.cancel(grant.job_id)

    events = await world.events(grant.job_id)

    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert [event.type.value for event in events] == [
        "submitted",
        "claimed",
        "started",
        "ended",
        "retry_planned",
        "fell_due",
        "cancel_requested",
        "finished",
    ]


async def test_everything_may_come_in_one_report(world: World) -> None:
    """A short job's start and end arrive together, and both are in the timeline."""
    job = await world.submit(delay())
    worker = await world.worker()
    grant = await worker.claim_one()

    ack = await worker.tell(started(grant), ended(grant))

    assert ack.settled
    assert (await world.job(job.id)).state is JobState.SUCCEEDED
    assert (await world.told(job.id))[2:] == ["started", "ended", "finished"]


async def test_an_end_may_overtake_its_start(world: World) -> None:
    """An end that names its start needs no other report of it."""
    job = await world.submit(delay())
    worker = await world.worker()
    grant = await worker.claim_one()

    await worker.tell(ended(grant, started_at_us=world.now_us))

    shown = await world.job(job.id)
    assert shown.state is JobState.SUCCEEDED
    assert shown.started_at == moment(world.now_us)
    assert "started" in await world.told(job.id)


async def test_many_attempts_in_one_report(world: World) -> None:
    """A batch about many jobs is one call, with one answer for each of them in order."""
    jobs = [(await world.submit(delay())).id for _ in range(300)]
    worker = await world.worker(slots=512)
    grants = [*await worker.claim(256), *await worker.claim(256)]

    acks = await worker.report(
        *(event for grant in grants for event in (started(grant), ended(grant)))
    )

    assert [ack.job_id for ack in acks] == jobs
    assert all(ack.settled for ack in acks)
    states = await world.read(lambda r: r.tuples("SELECT DISTINCT state FROM job"))
    assert states == [("succeeded",)]


async def test_a_worker_whose_clock_is_wrong_is_believed_within_reason(world: World) -> None:
    """Nothing begins before it was claimed, ends before it began, or lies in the future."""
    job = await world.submit()
    worker = await world.worker()
    grant = await worker.claim_one()
    claimed = world.now_us
    world.clock.seconds += 5
    await worker.tell(started(grant, at_us=0))
    await worker.tell(ended(grant, at_us=2**60))

    (attempt,) = (await world.job(job.id)).attempts

    assert (attempt.started_at, attempt.finished_at) == (moment(claimed), moment(world.now_us))


async def test_a_failure_says_how_and_why(world: World) -> None:
    """Exit code, signal, reason and message of the last attempt are the job's."""
    worker = await world.worker()
    grant = await worker.running()

    await worker.tell(failed(grant, 7, message="it broke"))

    job = await world.job(grant.job_id)
    assert (job.state, job.reason, job.exit_code, job.message) == (
        JobState.FAILED,
        Reason.EXIT_NONZERO,
        7,
        "it broke",
    )
    assert job.attempts[0].exit_code == 7


async def test_a_signal_is_kept(world: World) -> None:
    """A command that was killed shows by which signal."""
    worker = await world.worker()
    grant = await worker.running()

    await worker.tell(ended(grant, Outcome.FAILED, reason=Reason.SIGNAL, signal=9))

    job = await world.job(grant.job_id)
    assert (job.signal, job.exit_code, job.reason) == (9, None, Reason.SIGNAL)


async def test_a_failure_is_tried_again_as_the_policy_says(world: World) -> None:
    """A failed job waits for its backoff, is queued again, and fails when its tries are used."""
    worker = await world.worker()
    grant = await worker.running(retry=RETRY)
    for attempt in (1, 2):
        await worker.tell(failed(grant))
        waiting = await world.job(grant.job_id)
        assert (waiting.state, waiting.pending_reason) == ("scheduled", PendingReason.BACKOFF)
        assert (waiting.started_at, waiting.worker) == (None, None)
        await world.pass_time(60)
        await worker.heartbeat()
        grant = await worker.claim_one()
        assert grant.attempt == attempt + 1
        await worker.tell(started(grant))

    await worker.tell(failed(grant, 3))

    job = await world.job(grant.job_id)
    assert (job.state, job.exit_code, job.attempt) == (JobState.FAILED, 3, 3)
    assert [attempt.exit_code for attempt in job.attempts] == [1, 1, 3]


async def test_a_release_puts_the_job_back_where_it_stood(world: World) -> None:
    """A job that is given back unstarted counts no attempt as failed and keeps its place."""
    first = await world.submit()
    second = await world.submit()
    worker = await world.worker()
    grant = await worker.claim_one()
    world.facts.clear()

    ack = await worker.tell(released(grant))

    assert ack.settled
    assert (await world.job(first.id)).state is JobState.QUEUED
    assert JobChanged(first.id) in world.facts
    assert any(isinstance(fact, Claimable) and fact.count == 1 for fact in world.facts)
    again = await worker.claim(2)
    assert [(one.job_id, one.attempt) for one in again] == [(first.id, 2), (second.id, 1)]


async def test_an_interrupted_job_goes_back_to_the_head(world: World) -> None:
    """A preempted attempt counts in nothing, and its job is next."""
    worker = await world.worker()
    grant = await worker.running()
    await world.submit()

    await worker.tell(ended(grant, Outcome.PREEMPTED, reason=Reason.PREEMPTED))

    assert (await world.told(grant.job_id))[-1] == "preempted"
    assert (await worker.claim_one()).job_id == grant.job_id


async def test_an_attempt_that_its_worker_lost_is_tried_again(world: World) -> None:
    """A worker that cannot say how an attempt ended says so, and the policy for losses applies."""
    worker = await world.worker()
    grant = await worker.running()

    ack = await worker.tell(ended(grant, Outcome.LOST, reason=Reason.WORKER_LOST))

    assert ack.settled
    job = await world.job(grant.job_id)
    assert (job.state, job.pending_reason) == (JobState.SCHEDULED, PendingReason.BACKOFF)
    assert (await world.told(grant.job_id))[-2:] == ["lost", "retry_planned"]


async def test_a_report_repeated_gives_the_same_answer(world: World) -> None:
    """Repeating a report changes nothing and acknowledges the same, however it ended."""
    worker = await world.worker()
    for outcome in (Outcome.SUCCEEDED, Outcome.FAILED, Outcome.LOST, Outcome.PREEMPTED):
        job = (await world.submit(delay())).id
        grant = next(one for one in await worker.claim(8) if one.job_id == job)
        report = (started(grant), ended(grant, outcome))
        ack = await worker.tell(*report)
        before = await world.job(job), await world.events(job)
        assert ack.settled

        assert await worker.tell(*report) == ack
        assert (await world.job(job), await world.events(job)) == before


async def test_a_release_repeated_gives_the_same_answer(world: World) -> None:
    """Giving back twice gives back once, even when the job has gone to somebody else."""
    await world.submit()
    worker, other = await world.worker("w1"), await world.worker("w2")
    grant = await worker.claim_one()
    ack = await worker.tell(released(grant))
    taken = await other.claim_one()

    assert await worker.tell(released(grant)) == ack
    assert (await world.job(taken.job_id)).attempt == 2


async def test_a_start_repeated_changes_nothing(world: World) -> None:
    """Only the first report of a start counts."""
    worker = await world.worker()
    grant = await worker.running()
    before = await world.job(grant.job_id)
    world.clock.seconds += 5

    ack = await worker.tell(started(grant, pid=1))

    assert (ack.settled, ack.directive) == (False, None)
    assert await world.job(grant.job_id) == before


async def test_another_end_is_kept_and_changes_nothing(world: World) -> None:
    """The first end wins; a different one is a late result on its own attempt."""
    worker = await world.worker()
    grant = await worker.running()
    await worker.tell(ended(grant))

    ack = await worker.tell(failed(grant, 9, message="no, it failed"))

    assert (ack.settled, ack.directive) == (False, Directive.ABANDON)
    job = await world.job(grant.job_id)
    assert (job.state, job.exit_code) == (JobState.SUCCEEDED, None)
    late = job.attempts[0].late_result
    assert late is not None
    assert (late["outcome"], late["exit_code"], late["message"]) == ("failed", 9, "no, it failed")
    assert (await world.told(grant.job_id))[-1] == "late_result"


async def test_a_late_result_is_kept_once(world: World) -> None:
    """What came late first stays, and repeating it adds nothing."""
    worker = await world.worker()
    grant = await worker.running()
    await worker.tell(ended(grant))
    ack = await worker.tell(failed(grant, 9))
    events = await world.events(grant.job_id)

    assert await worker.tell(failed(grant, 9)) == ack
    await worker.tell(failed(grant, 10))

    assert await world.events(grant.job_id) == events
    late = (await world.job(grant.job_id)).attempts[0].late_result
    assert late is not None
    assert late["exit_code"] == 9


async def test_a_late_result_has_a_limit_too(world: World) -> None:
    """What is too large for a result is too large for a late one; the rest of it is kept."""
    worker = await world.worker()
    grant = await worker.running()
    await worker.tell(ended(grant))

    await worker.tell(failed(grant, 9, result={"x": "y" * RESULT_BYTES}))

    late = (await world.job(grant.job_id)).attempts[0].late_result
    assert late is not None
    assert (late["exit_code"], late["result"]) == (9, None)


async def test_a_stale_report_changes_nothing(world: World) -> None:
    """An attempt whose lease ended speaks to nobody, and its newer attempt is not disturbed."""
    slow, quick = await world.worker("slow"), await world.worker("quick")
    old = await slow.running()
    for _ in range(16):
        await world.pass_time(5)
        await quick.heartbeat()
    new = await quick.claim_one()
    assert (new.job_id, new.attempt) == (old.job_id, 2)
    before = await world.job(old.job_id)

    ack = await slow.tell(ended(old, result={"from": "the grave"}))

    assert ack.directive is Directive.ABANDON
    after = await world.job(old.job_id)
    assert (after.state, after.attempt, after.result) == (before.state, 2, None)
    assert after.attempts[0].outcome is Outcome.LOST
    late = after.attempts[0].late_result
    assert late is not None
    assert late["result"] == {"from": "the grave"}
    assert after.attempts[1].late_result is None
    assert (await quick.tell(started(new), ended(new))).settled


@pytest.mark.parametrize("say", [started, ended, released])
async def test_nobody_speaks_for_anothers_attempt(world: World, say: object) -> None:
    """Another worker's attempt and one that never was are answered alike, and leave no trace."""
    assert callable(say)
    worker, eve = await world.worker("w1"), await world.worker("eve")
    grant = await worker.running()
    before = await world.job(grant.job_id)

    foreign = await eve.tell(say(grant))
    unknown = await eve.tell(say(grant.model_copy(update={"job_id": world.id("job")})))
    future = await eve.tell(say(grant.model_copy(update={"attempt": 2})))

    for ack in (foreign, unknown, future):
        assert (ack.directive, ack.settled, ack.output_offset) == (Directive.ABANDON, False, 0)
    assert await world.job(grant.job_id) == before


async def test_nobody_reports_in_anothers_session(world: World) -> None:
    """A session belongs to its worker, even if somebody knows its id."""
    worker, eve = await world.worker("w1"), await world.worker("eve")
    grant = await worker.running()
    eve.session = worker.session

    with pytest.raises(NotFound):
        await eve.tell(ended(grant))


async def test_two_attempts_of_one_job_in_one_report(world: World) -> None:
    """A worker may speak of an old and a new attempt of the same job at once."""
    worker = await world.worker()
    old = await worker.running()
    await world.pass_time(80)
    await worker.heartbeat()
    new = await worker.claim_one()

    stale, fresh = await worker.report(ended(old), started(new), ended(new))

    assert key(old)["job_id"] == new.job_id
    assert stale.directive is Directive.ABANDON
    assert fresh.settled
    events = await world.events(new.job_id)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
