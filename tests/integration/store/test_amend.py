"""Changing jobs that have not begun, and deleting those that are over."""

from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from orchestrator.kernel.errors import IllegalTransition, NotFound, RequestInvalid
from orchestrator.protocol.jobs import AmendRequest
from orchestrator.protocol.views import JobDetail
from orchestrator.protocol.words import JobState, PendingReason
from orchestrator.server.edge.refusals import Declined
from orchestrator.server.facts import Scheduled
from orchestrator.server.operations.amend import amend
from orchestrator.server.operations.delete import delete
from orchestrator.server.operations.hold import hold, release
from tests.integration.store.world import World, ended


async def _amend(
    world: World, job_id: str, *, version: int | None = None, **fields: Any
) -> JobDetail:
    asked = AmendRequest.model_validate(fields)
    return await world.write(lambda tx: amend(tx, job_id, asked=asked, by="ada", version=version))


def _in(world: World, seconds: float) -> datetime:
    return datetime.fromtimestamp(world.clock.now() + seconds, UTC)


async def test_a_job_that_is_made_urgent_overtakes(world: World) -> None:
    """It starts before an older one, keeps what it has waited, and its story says who did it."""
    worker = await world.worker()
    first, second = await world.submit(), await world.submit()

    shown = await _amend(world, second.id, priority=1, comment="now")

    assert (shown.priority, shown.spec["priority"]) == (1, 0)
    assert [grant.job_id for grant in await worker.claim(1)] == [second.id]
    told = (await world.events(second.id))[1]
    assert (told.type, told.data) == (
        "amended",
        {"by": "ada", "comment": "now", "priority": [0, 1]},
    )
    assert (await world.job(first.id)).state is JobState.QUEUED


async def test_made_less_urgent_and_back_it_stands_where_it_stood(world: World) -> None:
    """Changing a priority twice costs no place."""
    worker = await world.worker()
    first, second = await world.submit(), await world.submit()

    await _amend(world, first.id, priority=-50)
    await _amend(world, first.id, priority=0)

    assert [grant.job_id for grant in await worker.claim(2)] == [first.id, second.id]


async def test_a_job_waits_for_the_moment_that_it_is_given(world: World) -> None:
    """Queued, it is scheduled; scheduled, it is due at another moment, or at once."""
    worker = await world.worker()
    job = await world.submit()
    at = _in(world, 100)

    later = await _amend(world, job.id, run_at=at)
    assert (later.state, later.pending_reason) == (JobState.SCHEDULED, PendingReason.NOT_BEFORE)
    assert later.run_at == at
    assert Scheduled(round(at.timestamp() * 1_000_000)) in world.facts
    assert await worker.claim(1) == []
    await _amend(world, job.id, run_at=_in(world, 300))
    await world.pass_time(200)
    assert (await world.job(job.id)).state is JobState.SCHEDULED

    newer = await world.submit()
    world.clock.seconds += 1
    now = await _amend(world, job.id, run_at=None)
    assert (now.state, now.run_at) == (JobState.QUEUED, None)
    assert [grant.job_id for grant in await worker.claim(2)] == [newer.id, job.id]


@pytest.mark.parametrize("end", ["queue_ttl_s", "deadline_s"])
async def test_a_job_is_not_put_off_until_its_time_is_over(world: World, end: str) -> None:
    """What a submit would refuse is refused here as well, and nothing of it is done."""
    fields: dict[str, Any] = {end: 60}
    job = await world.submit(**fields)

    with pytest.raises(RequestInvalid) as refused:
        await _amend(world, job.id, run_at=_in(world, 60), priority=5)

    assert [field for field, _ in refused.value.fields] == ["run_at"]
    shown = await world.job(job.id)
    assert (shown.state, shown.priority) == (JobState.QUEUED, 0)
    assert (await _amend(world, job.id, run_at=_in(world, 30))).state is JobState.SCHEDULED


async def test_a_held_job_waits_for_its_new_moment_once_it_is_let_go(world: World) -> None:
    """What is changed while it is held counts from its release on."""
    job = await world.submit()
    await world.write(partial(hold, ids=[job.id], by="ada"))

    shown = await _amend(world, job.id, run_at=_in(world, 100), priority=7)
    assert (shown.state, shown.priority) == (JobState.HELD, 7)
    (free,) = (await world.write(partial(release, ids=[job.id], by="ada"))).items

    assert (free.state, free.pending_reason) == (JobState.SCHEDULED, PendingReason.NOT_BEFORE)


async def test_labels_are_merged(world: World) -> None:
    """A label is added, replaced or taken away; the others stay, up to the limit."""
    job = await world.submit(labels={"a": "1", "b": "2"})

    shown = await _amend(world, job.id, labels={"b": "3", "a": None, "c": ""})
    assert shown.labels == {"b": "3", "c": ""}

    with pytest.raises(RequestInvalid, match="labels"):
        await _amend(world, job.id, labels={f"n{n}": "x" for n in range(63)})
    assert (await world.job(job.id)).labels == {"b": "3", "c": ""}


async def test_what_has_begun_is_not_changed(world: World) -> None:
    """Running and finished jobs are refused with their state, unknown ones are not found."""
    worker = await world.worker()
    running = await worker.running()
    with pytest.raises(IllegalTransition, match="is running; only a job that has not begun"):
        await _amend(world, running.job_id, priority=5)
    await worker.tell(ended(running))

    with pytest.raises(IllegalTransition, match="is succeeded"):
        await _amend(world, running.job_id, labels={"a": "b"})
    with pytest.raises(NotFound):
        await _amend(world, world.id("job"), priority=5)
    assert "amended" not in await world.told(running.job_id)


async def test_a_version_that_is_over_changes_nothing(world: World) -> None:
    """Two people who looked at one version: the second one is told to look again."""
    job = await world.submit()
    seen = (await world.job(job.id)).version

    changed = await _amend(world, job.id, version=seen, priority=5)
    assert changed.version == seen + 1
    with pytest.raises(Declined) as refused:
        await _amend(world, job.id, version=seen, priority=9)

    assert (refused.value.status, refused.value.problem_code) == (412, "version_changed")
    assert (await world.job(job.id)).priority == 5


async def test_only_what_is_over_is_deleted(world: World) -> None:
    """A job that can still go on is refused; a finished one is gone with everything of its."""
    worker = await world.worker()
    running = await worker.running()
    with pytest.raises(IllegalTransition, match="is running, and only what is over"):
        await world.write(partial(delete, job_id=running.job_id))
    await worker.tell(ended(running))

    await world.write(partial(delete, job_id=running.job_id))

    with pytest.raises(NotFound):
        await world.write(partial(delete, job_id=running.job_id))
    left = await world.read(lambda reader: reader.tuples("SELECT count(*) FROM job_event"))
    assert left == [(0,)]
