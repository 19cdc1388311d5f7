"""Jobs with an end: those that nobody starts in time expire, those that take too long fail."""

from functools import partial
from typing import Any

import pytest

from orchestrator.kernel.errors import RequestInvalid
from orchestrator.protocol.base import moment
from orchestrator.protocol.words import Directive, JobState, Reason
from orchestrator.server.operations.cancel import cancel
from orchestrator.server.operations.hold import hold
from orchestrator.server.operations.ring import next_ring
from tests.integration.store.world import (
    Worker,
    World,
    ended,
    failed,
    live,
    released,
    started,
)

S = JobState


@pytest.mark.parametrize("state", [S.QUEUED, S.SCHEDULED, S.BLOCKED, S.HELD])
@pytest.mark.parametrize("how", ["queue_ttl_s", "expires_at"])
async def test_a_job_that_nobody_starts_in_time_expires(
    world: World, state: JobState, how: str
) -> None:
    """Wherever it waits, it is over at its moment, not before, and it says why."""
    fields: dict[str, Any] = {"queue_ttl_s": 30}
    if how == "expires_at":
        fields = {"expires_at": moment(world.now_us + 30_000_000).isoformat()}
    if state is S.SCHEDULED:
        fields["run_at"] = moment(world.now_us + 20_000_000).isoformat()
    if state is S.BLOCKED:
        fields["depends_on"] = [{"job": (await world.submit()).id}]
    job = await world.submit(**fields)
    if state is S.HELD:
        await world.write(partial(hold, ids=[job.id], by="ada"))
    assert (await world.job(job.id)).state is state

    await world.pass_time(15)
    assert (await world.job(job.id)).state is state
    await world.pass_time(16)

    shown = await world.job(job.id)
    assert (shown.state, shown.reason) == (S.EXPIRED, Reason.QUEUE_TTL)
    assert shown.message == "it was not started in time"
    assert (await world.told(job.id))[-1] == "finished"


async def test_a_job_that_was_given_back_unstarted_may_still_expire(
    world: World, worker: Worker
) -> None:
    """As long as a worker has it, it does not; given back too late, it does at once."""
    job = await world.submit(queue_ttl_s=20)
    grant = await worker.claim_one()
    await world.pass_time(25)
    assert (await world.job(job.id)).state is S.LEASED
    assert await world.read(next_ring) is None

    await worker.tell(released(grant))

    assert await world.read(next_ring) is not None
    await world.pass_time(0.1)
    assert (await world.job(job.id)).state is S.EXPIRED


@pytest.mark.parametrize("end", ["lost", "failed", "unheard"])
async def test_a_job_that_was_started_never_expires(world: World, worker: Worker, end: str) -> None:
    """Also not between its tries, and not if nobody knows whether the first one began."""
    retry = {"max_attempts": 2, "backoff": {"initial_s": 600, "max_s": 600}}
    job = await world.submit(queue_ttl_s=100, retry=retry)
    grant = await worker.claim_one()
    if end != "unheard":
        await worker.tell(started(grant))
        assert (await world.job(job.id)).expires_at is None
    if end == "failed":
        await worker.tell(failed(grant))

    await world.pass_time(130)

    shown = await world.job(job.id)
    assert shown.state in {S.SCHEDULED, S.QUEUED}
    assert shown.expires_at is None


async def test_a_running_job_that_is_not_over_in_time_is_ended_and_failed(
    world: World, worker: Worker
) -> None:
    """Its worker is told to end it; what it reports then cannot make it a success."""
    job = await world.submit(deadline_s=20)
    grant = await worker.claim_one()
    await worker.tell(started(grant))
    await world.pass_time(15)
    await worker.heartbeat(live(grant))
    await world.pass_time(10)

    orders = (await worker.heartbeat(live(grant))).orders

    assert [one.directive for one in orders] == [Directive.CANCEL]
    assert (await world.job(job.id)).state is S.CANCELLING
    await worker.tell(ended(grant))
    shown = await world.job(job.id)
    assert (shown.state, shown.reason) == (S.FAILED, Reason.TIMEOUT_TOTAL)
    assert shown.message == "it was not over within its deadline_s"


@pytest.mark.parametrize("how", ["backoff", "queued", "lost"])
async def test_the_deadline_counts_over_all_tries(world: World, worker: Worker, how: str) -> None:
    """A job that is not over at its moment fails, whether it waits, pauses or is lost."""
    retry = {"max_attempts": 9, "backoff": {"initial_s": 600, "max_s": 600}}
    job = await world.submit(deadline_s=100, retry=retry)
    for grant in await worker.claim(1) if how != "queued" else []:
        await worker.tell(started(grant))
        if how == "backoff":
            await worker.tell(failed(grant))

    await world.pass_time(170)

    shown = await world.job(job.id)
    assert (shown.state, shown.reason) == (S.FAILED, Reason.TIMEOUT_TOTAL)
    assert await world.read(next_ring) is None


async def test_a_person_may_end_at_once_what_is_ended_for_its_deadline(
    world: World, worker: Worker
) -> None:
    """By force it is cancelled, by that person; an ordinary cancel changes nothing any more."""
    job = await world.submit(deadline_s=10)
    await worker.tell(started(await worker.claim_one()))
    await world.pass_time(11)
    assert (await world.cancel(job.id)).reason is Reason.TIMEOUT_TOTAL

    await world.write(partial(cancel, job_id=job.id, by="ada", force=True))

    shown = await world.job(job.id)
    assert (shown.state, shown.reason) == (S.CANCELLED, Reason.CANCELLED_BY_USER)


@pytest.mark.parametrize("field", ["expires_at", "queue_ttl_s", "deadline_s"])
async def test_a_moment_that_is_over_before_the_job_could_begin_is_refused(
    world: World, field: str
) -> None:
    """Nobody submits a job to see it expire at once."""
    late = moment(world.now_us + 90_000_000).isoformat()
    fields: dict[str, Any] = {"run_at": late, field: 60}
    if field == "expires_at":
        fields = {field: moment(world.now_us - 1_000_000).isoformat()}

    with pytest.raises(RequestInvalid) as refusal:
        await world.submit(**fields)

    assert refusal.value.fields == ((field, "is over before the job could be started"),)
