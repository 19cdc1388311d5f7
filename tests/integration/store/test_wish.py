"""A claim that asks for one job: it gets that one, waits for it, or hears why it will not come."""

from functools import partial

import pytest

from orchestrator.kernel.errors import NotClaimable
from orchestrator.server.operations.hold import hold
from orchestrator.server.operations.quarantine import quarantine, release
from tests.integration.store.test_quarantine import KEEP_OUT
from tests.integration.store.world import World, ended
from tests.support.builders import delay


async def test_only_the_wished_job_is_given(world: World) -> None:
    """Also behind others, and with slots for more; the same number brings it again."""
    first, second = await world.submit(), await world.submit()
    worker = await world.worker()

    [grant] = await worker.claim(5, job_id=second.id)
    assert (grant.job_id, grant.attempt) == (second.id, 1)
    assert await worker.claim(5, job_id=second.id, number=worker.number) == [grant]
    assert await world.told(second.id) == ["submitted", "claimed"]

    assert [one.job_id for one in await worker.claim(5)] == [first.id]


async def test_what_is_not_due_yet_is_waited_for(world: World) -> None:
    """Nothing is given, nothing is refused, and no other job is taken instead."""
    await world.submit()
    later = await world.submit(run_at="2030-01-01T00:00:00Z")
    worker = await world.worker()

    assert await worker.claim(1, job_id=later.id) == []


async def test_a_job_that_will_not_come_is_told(world: World) -> None:
    """Each with its reason, and none of them costs the worker its session."""
    over, held, taken, alien = [await world.submit() for _ in range(3)] + [
        await world.submit(delay(requires={"tags": ["gpu"]}))
    ]
    other, worker = await world.worker("other"), await world.worker("w1", kinds=["command"])
    [grant] = await other.claim(1, job_id=over.id)
    await other.report(ended(grant))
    await world.write(partial(hold, ids=[held.id], by="ada"))
    await other.claim(1, job_id=taken.id)

    for job_id, message in (
        (over.id, "is over (succeeded)"),
        (held.id, "is held back"),
        (taken.id, "is other's already (leased)"),
        (alien.id, "is not for this worker, which lacks kind delay, tag gpu"),
    ):
        with pytest.raises(NotClaimable) as told:
            await worker.claim(1, job_id=job_id)
        assert told.value.message == f"job {job_id} {message}"
        assert told.value.hint
    with pytest.raises(NotClaimable, match="there is no job job_0"):
        await worker.claim(1, job_id="job_" + "0" * 26)

    free = await world.submit()
    assert (await worker.claim_one()).job_id == free.id


async def test_a_worker_in_quarantine_is_told_so(world: World) -> None:
    """It would wait without a word; others have the job, and it, too, once it is trusted."""
    job, later = await world.submit(), await world.submit(run_at="2030-01-01T00:00:00Z")
    worker, _ = await world.worker("w1"), await world.worker("w2")
    await world.write(partial(quarantine, worker="w1", by="ada", reason=KEEP_OUT))

    with pytest.raises(NotClaimable) as told:
        await worker.claim(1, job_id=job.id)
    assert told.value.message == (
        f"job {job.id} is not given to w1, which is in quarantine: {KEEP_OUT}"
    )
    assert "orchestrator workers release w1" in (told.value.hint or "")
    assert await worker.claim(1, job_id=later.id) == []

    await world.write(partial(release, worker="w1", by="ada", reason="well again"))
    assert [grant.job_id for grant in await worker.claim(1, job_id=job.id)] == [job.id]
