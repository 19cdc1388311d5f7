"""A backup that is brought back: nothing of it runs again by itself, and no number comes twice."""

from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from orchestrator.core.bulk import Preview
from orchestrator.kernel.clock import SystemClock
from orchestrator.kernel.errors import LeaseLost
from orchestrator.protocol.bulk import BulkOrder
from orchestrator.protocol.ids import make_id
from orchestrator.protocol.jobs import JobSpec
from orchestrator.protocol.views import JobView
from orchestrator.protocol.wire import Ended, Grant, HeldAttempt, Started
from orchestrator.protocol.words import Directive, JobState, Outcome, PendingReason, Reason, Verdict
from orchestrator.server.backup.restoring import hold_all, settle
from orchestrator.server.operations.bulk import NewBulk, begin_bulk, open_bulk
from orchestrator.server.operations.hold import hold, release
from orchestrator.server.operations.restoration import BATCH
from orchestrator.server.operations.submit import submit
from orchestrator.server.store.interface import Transaction
from orchestrator.server.store.postgres import open_postgres
from tests.integration.store.world import Worker, World, ended, held, live
from tests.support.builders import command
from tests.support.postgres import PostgresServer

LATER = "2100-01-01T00:00:00Z"


async def restore(world: World, leap: int = 0) -> int:
    """Take the database for a backup's."""
    return await hold_all(world.store, None, leap=leap)


async def let_go(world: World, job_id: str) -> JobView:
    """Look at a held job, and let it go."""
    (job,) = (await world.write(partial(release, ids=[job_id], by="ada"))).items
    return job


async def test_what_waited_is_held(world: World) -> None:
    """Queued and scheduled jobs come back held, with the reason that tells why."""
    queued, scheduled = await world.submit(), await world.submit(run_at=LATER)

    assert await restore(world) == 2

    for asked in (queued, scheduled):
        job = await world.job(asked.id)
        assert (job.state, job.reason) == (JobState.HELD, Reason.RESTORED)
        assert job.pending_reason is PendingReason.HELD
        assert (await world.events(asked.id))[-1].data == {"was": asked.state}
    assert await (await world.worker()).claim() == []


@pytest.mark.parametrize(
    "policy", [{"retry": {"max_attempts": 5}}, {"execution": "at_most_once"}], ids=["least", "most"]
)
async def test_what_ran_is_held_and_its_try_is_over(
    world: World, worker: Worker, policy: dict[str, Any]
) -> None:
    """Nobody knows what became of a try that was under way, so the job is not tried again."""
    grant = await worker.running(**policy)

    await restore(world)

    job = await world.job(grant.job_id)
    assert (job.state, job.reason, job.attempt) == (JobState.HELD, Reason.RESTORED, 1)
    [attempt] = job.attempts
    assert (attempt.outcome, attempt.reason) == (Outcome.INDETERMINATE, Reason.RESTORED)
    assert (await world.told(job.id))[-2:] == ["restored", "lost"]
    assert await world.pass_time(7200) == 0
    assert (await world.job(job.id)).state is JobState.HELD


async def test_a_promised_cancel_is_kept(world: World, worker: Worker) -> None:
    """A job that was being cancelled is cancelled, and nobody saw its processes end."""
    grant = await worker.running()
    await world.cancel(grant.job_id)

    await restore(world)

    job = await world.job(grant.job_id)
    assert (job.state, job.reason) == (JobState.CANCELLED, Reason.CANCELLED_BY_USER)
    assert job.confirmed is False


async def test_what_was_over_stays_as_it_was(world: World, worker: Worker) -> None:
    """A finished job never changes, whatever is brought back."""
    grant = await worker.running()
    await worker.tell(ended(grant))
    before = await world.job(grant.job_id)

    assert await restore(world) == 0

    assert await world.job(grant.job_id) == before


async def test_an_order_for_many_jobs_does_not_go_on(world: World) -> None:
    """One that was open when the backup was made would let go, or repeat, what is to be held."""
    await world.submit()
    order = BulkOrder.model_validate({"q": "kind:command", "action": "release"})
    preview = Preview((await world.submit()).id, world.now_us, 1)
    view = await world.write(
        partial(begin_bulk, order=order, preview=preview, new=NewBulk(world.id("bulk"), "ada"))
    )
    assert view.finished_at is None

    await restore(world)

    assert await world.read(open_bulk) is None


async def test_many_jobs_are_held(world: World) -> None:
    """There is no number of jobs that are too many to be held."""
    for _ in range(BATCH + 3):
        await world.submit(command("true"))

    assert await restore(world) == BATCH + 3


async def test_sessions_of_before_are_over(world: World, worker: Worker) -> None:
    """A worker has to say anew what it holds, and what it knew is no session any more."""
    grant = await worker.running()

    await restore(world)
    with pytest.raises(LeaseLost, match="is over"):
        await worker.heartbeat(live(grant))
    reply = await worker.connect(held(grant))

    assert [verdict.verdict for verdict in reply.verdicts] == [Verdict.ABANDON]


async def test_a_try_that_the_backup_knew_is_heard_of_late(world: World, worker: Worker) -> None:
    """Its worker ran it to its end meanwhile: the result is kept beside it, and starts nothing."""
    grant = await worker.running()
    await restore(world)

    reply = await worker.connect(held(grant, "ended"))
    ack = await worker.tell(ended(grant, exit_code=0))

    assert [verdict.verdict for verdict in reply.verdicts] == [Verdict.REPORT]
    assert ack.directive is not None
    job = await world.job(grant.job_id)
    assert (job.state, len(job.attempts)) == (JobState.HELD, 1)
    assert job.attempts[0].late_result is not None
    assert job.attempts[0].late_result["outcome"] == "succeeded"


async def test_a_try_that_the_backup_did_not_know_is_heard_of_as_well(
    world: World, worker: Worker
) -> None:
    """What was granted after the backup was made gets a row when its worker tells of it."""
    job = await world.submit()
    await restore(world)
    unknown = HeldAttempt(job_id=job.id, attempt=1, phase="ended")

    reply = await worker.connect(unknown)
    await worker.report(
        Ended(job_id=job.id, attempt=1, at_us=2**60, outcome=Outcome.SUCCEEDED, exit_code=0)
    )

    assert [verdict.verdict for verdict in reply.verdicts] == [Verdict.REPORT]
    shown = await world.job(job.id)
    assert (shown.state, shown.attempt) == (JobState.HELD, 0)
    [attempt] = shown.attempts
    assert (attempt.number, attempt.worker) == (1, "w1")
    assert (attempt.outcome, attempt.reason) == (Outcome.INDETERMINATE, Reason.RESTORED)
    assert attempt.late_result is not None


async def test_a_session_of_before_is_heard_as_well(world: World, worker: Worker) -> None:
    """A worker that was stopped with a grant in hand runs it, and tells before it hears anything.

    The grant came after the backup was made, and its session is over: it starts nothing new, and
    what came of it is kept.
    """
    job = await world.submit()
    await restore(world)
    told: dict[str, Any] = {"job_id": job.id, "attempt": 1, "at_us": 2**60}

    [started] = await worker.report(Started(**told, pid=7))
    [over] = await worker.report(Ended(**told, outcome=Outcome.SUCCEEDED, exit_code=0))

    assert started.directive is over.directive is Directive.ABANDON
    assert started.started is over.settled is False
    shown = await world.job(job.id)
    assert (shown.state, shown.attempt) == (JobState.HELD, 0)
    [attempt] = shown.attempts
    assert (attempt.number, attempt.worker) == (1, "w1")
    assert (attempt.outcome, attempt.reason) == (Outcome.INDETERMINATE, Reason.RESTORED)
    assert attempt.late_result is not None
    assert attempt.late_result["outcome"] == "succeeded"
    assert (await world.told(job.id))[-1] == "late_result"


async def test_a_try_of_a_job_that_was_never_restored_gets_no_row(
    world: World, worker: Worker
) -> None:
    """A worker cannot invent tries."""
    job = await world.submit()

    reply = await worker.connect(HeldAttempt(job_id=job.id, attempt=1, phase="ended"))
    [ack] = await worker.report(
        Ended(job_id=job.id, attempt=1, at_us=2**60, outcome=Outcome.SUCCEEDED, exit_code=0)
    )

    assert [verdict.verdict for verdict in reply.verdicts] == [Verdict.ABANDON]
    assert ack.directive is Directive.ABANDON
    assert (await world.job(job.id)).attempts == []


async def test_no_number_of_a_try_comes_twice(world: World, worker: Worker) -> None:
    """Tries go on behind all numbers that a worker may have seen, after each restore anew."""
    job = await world.submit()

    async def brought_back() -> Grant:
        await restore(world)
        world.clock.seconds += 1
        await let_go(world, job.id)
        await worker.connect()
        return await worker.claim_one()

    first, second = await brought_back(), await brought_back()

    assert first.attempt > 1_000_000
    assert second.attempt > first.attempt + 999
    assert (await worker.heartbeat(live(second))).orders == []
    assert await worker.claim(number=1) == [second]
    await worker.report(ended(second))
    assert (await world.job(job.id)).state is JobState.SUCCEEDED


async def test_no_number_comes_twice_although_the_clock_was_set_back(
    world: World, worker: Worker
) -> None:
    """Two restores of one moment number apart: a clock alone cannot tell them from each other."""
    job = await world.submit()
    began = world.clock.seconds

    async def brought_back(leap: int) -> int:
        world.clock.seconds = began
        await world.write(partial(_forget_numbers, job_id=job.id))
        await restore(world, leap)
        await let_go(world, job.id)
        await worker.connect()
        return (await worker.claim_one()).attempt

    first, second = await brought_back(3), await brought_back(70_000)

    assert second - first == 70_000 - 3


async def test_a_try_that_another_restore_gave_out_is_heard_of_as_well(
    world: World, worker: Worker
) -> None:
    """Its number may be one that this database has not come to: the next one is behind it."""
    job = await world.submit()
    await restore(world, 70_000)
    await let_go(world, job.id)
    await worker.connect()
    elsewhere = await worker.claim_one()
    await world.write(partial(_forget_numbers, job_id=job.id))
    await restore(world, 3)

    reply = await worker.connect(
        HeldAttempt(job_id=job.id, attempt=elsewhere.attempt, phase="ended")
    )
    await worker.report(
        Ended(
            job_id=job.id,
            attempt=elsewhere.attempt,
            at_us=2**60,
            outcome=Outcome.SUCCEEDED,
            exit_code=0,
        )
    )

    assert [verdict.verdict for verdict in reply.verdicts] == [Verdict.REPORT]
    [attempt] = (await world.job(job.id)).attempts
    assert (attempt.number, attempt.reason) == (elsewhere.attempt, Reason.RESTORED)
    assert attempt.late_result is not None
    await let_go(world, job.id)
    assert (await worker.claim_one()).attempt == elsewhere.attempt + 1


def _forget_numbers(tx: Transaction, *, job_id: str) -> None:
    """Make of a job what it was when its backup was made: no try of it was given to anybody."""
    tx.execute(
        "UPDATE job SET attempt = 0, attempt_floor = NULL, session_id = NULL, worker_id = NULL, "
        "state = 'queued' WHERE id = :job_id",
        job_id=job_id,
    )
    tx.execute("DELETE FROM attempt WHERE job_id = :job_id", job_id=job_id)


async def test_a_job_that_is_let_go_waits_for_what_it_waited_for(world: World) -> None:
    """A moment that has not come is waited for, whether or not somebody had held the job."""
    jobs = [await world.submit(run_at=LATER) for _ in range(2)]
    await world.write(partial(hold, ids=[jobs[0].id], by="ada"))
    await restore(world)

    for job in jobs:
        shown = await let_go(world, job.id)
        assert (shown.state, shown.reason) == (JobState.SCHEDULED, None)
        assert shown.pending_reason is PendingReason.NOT_BEFORE


def test_a_database_that_pg_restore_brought_back_is_held_in_place(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    """One order, before the server is started: what was not over is held there as well."""
    database = postgres.clean_database()
    url = postgres.url(database)
    job_id = make_id("job", at_ms=1, random=bytes(10))

    async def fill() -> None:
        store = open_postgres(url, SystemClock())
        spec = JobSpec.model_validate(command())
        await store.write(partial(submit, job_id=job_id, owner="ada", spec=spec))
        await store.aclose()

    anyio.run(fill)
    held = settle(url, tmp_path / "data", SystemClock())
    again = settle(url, tmp_path / "data", SystemClock())
    postgres.give_back(database)

    assert (held, again) == (1, 1)
