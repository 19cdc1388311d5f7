"""Results in reports: how large one may be, what it must look like, and what becomes of others."""

from typing import Any

import pytest

from orchestrator.protocol.frames import FrameType
from orchestrator.protocol.limits import RAW_RESULT_BYTES, RESULT_BYTES
from orchestrator.protocol.words import Outcome, Reason
from tests.integration.store.world import World, ended, output, printed, started
from tests.support.builders import delay


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


@pytest.mark.parametrize(
    ("result", "told"),
    [
        ({"ok": True}, "took_ms: Field required"),
        ({"ok": False, "took_ms": 3}, "ok: Input should be True"),
        ({"ok": True, "took_ms": "3"}, "took_ms: Input should be a valid integer"),
        ({"ok": True, "took_ms": 3, "more": 1}, "more: Extra inputs are not permitted"),
        (None, "a job of the kind delay gives a result, and there is none"),
    ],
)
async def test_a_result_that_is_not_its_kind_s_fails_the_try(
    world: World, result: dict[str, Any] | None, told: str
) -> None:
    """What is wrong is told, what was given is kept with the try, and the job has no result."""
    worker = await world.worker()
    grant = await worker.running(job=delay())
    end = ended(grant, result=result)

    ack = await worker.tell(end)

    job = await world.job(grant.job_id)
    assert ack.settled
    assert (job.state, job.reason, job.result) == ("failed", Reason.INVALID_RESULT, None)
    assert told in (job.message or "")
    [attempt] = job.attempts
    assert (attempt.outcome, attempt.reason) == (Outcome.FAILED, Reason.INVALID_RESULT)
    assert attempt.raw_result == result
    assert await worker.tell(end) == ack
    assert await world.job(grant.job_id) == job


async def test_a_result_that_is_its_kind_s_is_the_job_s(world: World) -> None:
    """And a job that failed, or was cancelled, owes none."""
    worker = await world.worker()
    good, bad = await worker.running(job=delay()), await worker.running(job=delay())

    await worker.report(
        ended(good, result={"ok": True, "took_ms": 3}),
        ended(bad, Outcome.TIMED_OUT, reason=Reason.TIMEOUT_RUN),
    )

    assert (await world.job(good.job_id)).result == {"ok": True, "took_ms": 3}
    assert (await world.job(bad.job_id)).reason is Reason.TIMEOUT_RUN


async def test_only_so_much_of_a_wrong_result_is_kept(world: World) -> None:
    """A larger one is told by its size."""
    worker = await world.worker()
    grant = await worker.running(job=delay())

    await worker.tell(ended(grant, result={"x": "y" * RAW_RESULT_BYTES}))

    [attempt] = (await world.job(grant.job_id)).attempts
    assert (attempt.reason, attempt.raw_result) == (Reason.INVALID_RESULT, None)
    assert "bytes, not kept" in (attempt.message or "")


async def test_a_wrong_result_is_tried_again_where_the_policy_names_it(world: World) -> None:
    """Each try keeps what it gave; the result is that of the one that gave a right one."""
    worker = await world.worker()
    policy = {"max_attempts": 2, "on": ["invalid_result"], "backoff": {"initial_s": 0}}
    grant = await worker.running(job=delay(), retry=policy)
    await worker.tell(ended(grant, result={"ok": 1}))
    await world.pass_time(5)
    again = await worker.claim_one()
    await worker.report(started(again), ended(again, result={"ok": True, "took_ms": 1}))

    job = await world.job(grant.job_id)
    assert (job.state, job.result) == ("succeeded", {"ok": True, "took_ms": 1})
    assert [attempt.raw_result for attempt in job.attempts] == [{"ok": 1}, None]


async def test_what_came_of_a_try_is_told_together(world: World) -> None:
    """Whether it succeeded, how long it took, and how many lines it wrote to both streams."""
    worker = await world.worker()
    grant = await worker.running()
    frames = printed(b"one\ntwo\n", b"three")
    errors = printed(b"\n", stream=FrameType.ERR)
    await worker.report(output(grant, frames), output(grant, errors, offset=len(frames)))
    world.clock.seconds += 3
    await worker.tell(ended(grant, output_final=True))

    [attempt] = (await world.job(grant.job_id)).attempts
    assert attempt.outcome is Outcome.SUCCEEDED
    assert attempt.started_at is not None
    assert attempt.finished_at is not None
    assert round((attempt.finished_at - attempt.started_at).total_seconds()) == 3
    assert attempt.lines == 3
