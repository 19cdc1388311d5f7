"""Results in reports: how large one may be, and what becomes of a larger one."""

from orchestrator.protocol.limits import RESULT_BYTES
from orchestrator.protocol.words import Reason
from tests.integration.store.world import World, ended


async def test_a_result_that_is_too_large_fails_the_job(world: World) -> None:
    """The result itself is not stored, and the reason says why."""
    worker = await world.worker()
    grant = await worker.running()

    ack = await worker.tell(ended(grant, result={"x": "y" * RESULT_BYTES}))

    job = await world.job(grant.job_id)
    assert ack.settled
    assert (job.state, job.reason, job.result) == ("failed", Reason.RESULT_TOO_LARGE, None)


async def test_a_result_that_is_too_large_is_settled_again(world: World) -> None:
    """The same end said again is a repetition, although the server made a failure of it."""
    worker = await world.worker()
    grant = await worker.running()
    end = ended(grant, exit_code=0, result={"x": "y" * RESULT_BYTES})
    ack = await worker.tell(end)
    before = await world.job(grant.job_id), await world.events(grant.job_id)

    assert await worker.tell(end) == ack

    assert (await world.job(grant.job_id), await world.events(grant.job_id)) == before
    assert before[0].attempts[0].late_result is None


async def test_a_result_is_measured_in_bytes(world: World) -> None:
    """What is stored has the limit: a letter that takes two bytes counts as two."""
    worker = await world.worker()
    fits, too_large = await worker.running(), await worker.running()
    around = len('{"x":""}')
    most = (RESULT_BYTES - around) // 2

    await worker.report(
        ended(fits, result={"x": "ü" * most}), ended(too_large, result={"x": "ü" * (most + 1)})
    )

    assert (await world.job(fits.job_id)).result == {"x": "ü" * most}
    job = await world.job(too_large.job_id)
    assert (job.reason, job.result) == (Reason.RESULT_TOO_LARGE, None)
