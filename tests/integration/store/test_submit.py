"""Submitting: what a new job is, where it stands, and what is refused."""

from datetime import timedelta

import pytest

from orchestrator.kernel.errors import AlreadyExists, RequestInvalid
from orchestrator.protocol.base import moment
from orchestrator.protocol.jobs import JobSpec
from orchestrator.protocol.words import JobState, PendingReason
from orchestrator.server.facts import Claimable, JobChanged, RequirementAdded, Scheduled
from orchestrator.server.operations.files import record_file
from orchestrator.server.operations.requirements import requirement_id, requirement_of
from orchestrator.server.operations.submit import submit
from orchestrator.server.store.interface import Transaction
from tests.integration.store.world import World
from tests.support.builders import delay, spec

SHA = "a" * 64


async def test_a_job_begins_in_the_queue(world: World) -> None:
    """A submitted job is queued, and is shown with everything that was asked for."""
    told = await world.submit(
        name="build", priority=7, labels={"b": "2", "a": "1"}, env={"K": "v"}, timeout_s=9
    )

    job = await world.job(told.id)
    assert (job.state, job.name, job.priority, job.owner) == ("queued", "build", 7, "ada")
    assert (job.attempt, job.attempts, job.labels) == (0, [], {"a": "1", "b": "2"})
    assert job.created_at == moment(world.now_us)
    assert job.spec["params"]["argv"] == ["true"]
    assert (job.spec["env"], job.spec["timeout_s"]) == ({"K": "v"}, 9)
    assert await world.told(job.id) == ["submitted"]


async def test_the_answer_is_what_is_shown_later(world: World) -> None:
    """What the submitter is told is what everybody else sees."""
    told = await world.submit(delay(5), labels={"a": "ö"})

    assert told.model_dump() == (await world.job(told.id)).model_dump(exclude={"spec", "attempts"})


async def test_a_job_for_later_waits_for_its_moment(world: World) -> None:
    """A job with a start in the future is scheduled, and is queued when that moment comes."""
    job = await world.submit(run_at=(moment(world.now_us) + timedelta(seconds=60)).isoformat())
    assert (job.state, job.pending_reason) == (JobState.SCHEDULED, PendingReason.NOT_BEFORE)

    await world.pass_time(59)
    assert (await world.job(job.id)).state is JobState.SCHEDULED
    await world.pass_time(1.1)

    assert (await world.job(job.id)).state is JobState.QUEUED
    assert await world.told(job.id) == ["submitted", "fell_due"]


async def test_a_start_in_the_past_is_now(world: World) -> None:
    """A job whose moment has passed is queued at once."""
    job = await world.submit(run_at="2001-01-01T00:00:00Z")

    assert job.state is JobState.QUEUED


async def test_a_new_job_is_announced(world: World) -> None:
    """Those who wait for work hear of it by its requirement, and those who watch by its id."""
    job = await world.submit(delay())
    later = await world.submit(delay(), run_at="2100-01-01T00:00:00Z")

    number = requirement_id(requirement_of(spec(delay())))
    assert world.facts[:3] == [
        RequirementAdded(number, frozenset()),
        JobChanged(job.id),
        Claimable(number, 1),
    ]
    assert world.facts[3] == JobChanged(later.id)
    assert isinstance(world.facts[4], Scheduled)


async def test_a_job_whose_input_is_not_stored_is_refused(world: World) -> None:
    """A job must run with exactly the files that it names, so an unknown one refuses it whole."""
    inputs = [{"file": SHA, "unpack": "zip"}, {"file": "b" * 64, "name": "notes"}]
    await world.write(lambda tx: record_file(tx, sha256=SHA, size=3))

    with pytest.raises(RequestInvalid) as refusal:
        await world.submit(inputs=inputs)

    assert [field for field, _ in refusal.value.fields] == ["inputs.1.file"]
    assert await world.read(lambda r: r.tuples("SELECT id FROM job")) == []
    assert (await world.submit(inputs=inputs[:1])).state is JobState.QUEUED


async def test_a_file_may_be_named_twice(world: World) -> None:
    """One file can be two inputs of a job."""
    await world.write(lambda tx: record_file(tx, sha256=SHA, size=3))

    job = await world.submit(inputs=[{"file": SHA, "name": "a"}, {"file": SHA, "name": "b"}])

    assert [given["name"] for given in (await world.job(job.id)).spec["inputs"]] == ["a", "b"]


async def test_an_id_is_used_once(world: World) -> None:
    """A second job with the same id is refused, and the first one stays as it is."""
    job = await world.submit(name="first")
    other = JobSpec.model_validate_json('{"kind": "delay", "params": {"ms": 0}}')

    def again(tx: Transaction) -> None:
        submit(tx, job_id=job.id, owner="eve", spec=other)

    with pytest.raises(AlreadyExists):
        await world.write(again)
    assert (await world.job(job.id)).name == "first"


async def test_a_job_says_why_it_is_not_running(world: World) -> None:
    """The pending reason follows the fleet: nobody, nobody that fits, nobody free, any moment."""
    job = await world.submit(requires={"tags": ["gpu"]})
    assert job.pending_reason is PendingReason.NO_WORKER_ONLINE

    await world.worker("plain")
    assert (await world.job(job.id)).pending_reason is PendingReason.NO_WORKER_MATCHES
    assert (await world.submit(requires={"tags": ["gpu"]})).pending_reason == "no_worker_matches"

    gpu = await world.worker("gpu", tags=["gpu"], slots=1)
    assert (await world.job(job.id)).pending_reason is PendingReason.STARTING
    assert (await world.submit(requires={"tags": ["gpu"]})).pending_reason == "starting"

    await gpu.claim()
    other = (await world.submit(requires={"tags": ["gpu"]})).id
    assert (await world.job(other)).pending_reason is PendingReason.ALL_SLOTS_BUSY

    await world.pass_time(31)
    assert (await world.job(other)).pending_reason is PendingReason.NO_WORKER_ONLINE
