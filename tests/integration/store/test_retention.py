"""Retention: old things go completely, and nothing goes that somebody may still ask for."""

from functools import partial

import pytest

from orchestrator.core.retention import USUAL, Retention
from orchestrator.protocol.words import JobState
from orchestrator.server.operations import retention
from orchestrator.server.operations.files import find_file, record_file
from orchestrator.server.operations.idempotency import IdempotencyKey, once
from orchestrator.server.operations.jobs import get_job
from orchestrator.server.operations.retention import (
    BATCH,
    Prunable,
    forget_files,
    forget_jobs,
    forget_lines,
    forget_sessions,
    forget_turns,
    forgettable_jobs,
    idle_lines,
    prunable,
)
from orchestrator.server.operations.submit import submit
from orchestrator.server.store.interface import Reader, Transaction
from tests.integration.store.world import World, digest, ended, failed, output, printed
from tests.support.builders import spec

DAY_S = 24 * 3600.0
TABLES_OF_JOBS = (
    *("job", "job_spec", "job_event", "job_file", "attempt", "output", "output_part"),
    "idempotency",
)
KEY = IdempotencyKey("me", "route", "key", "0" * 64)


async def forget(world: World, kept: Retention = USUAL) -> list[str]:
    """Forget jobs as the upkeep does; return which."""
    old = await world.read(lambda r: forgettable_jobs(r, now_us=world.now_us, kept=kept))
    assert await world.write(lambda tx: forget_jobs(tx, old, kept=kept)) == len(old)
    return [job_id for job_id, _ in old]


def rows(reader: Reader) -> dict[str, int]:
    """Return how many rows everything about jobs has."""
    return {table: reader.tuples(f"SELECT count(*) FROM {table}")[0][0] for table in TABLES_OF_JOBS}


async def test_an_old_job_goes_with_everything_of_its_own(world: World) -> None:
    """Ninety days after it failed nothing of a job is left, and not a second before."""
    await world.write(lambda tx: record_file(tx, sha256="a" * 64, size=3))
    worker = await world.worker()
    job = spec(inputs=[{"file": "a" * 64, "name": "x"}])
    new = world.id("job")
    await world.write(
        lambda tx: once(tx, KEY, lambda: submit(tx, job_id=new, owner="ada", spec=job))
    )
    grant = await worker.claim_one()
    await worker.tell(output(grant, printed(b"x")), failed(grant, output_length=18))
    world.clock.seconds += 90 * DAY_S - 1
    assert await forget(world) == []

    world.clock.seconds += 2

    assert await forget(world) == [new]
    assert await world.read(lambda r: get_job(r, new)) is None
    assert set((await world.read(rows)).values()) == {0}


async def test_what_is_not_finished_stays(world: World) -> None:
    """Age alone removes nothing: a job that waits or runs is kept."""
    worker = await world.worker()
    running = await worker.running()
    queued = await world.submit()
    waiting = await world.submit(run_at="2100-01-01T00:00:00Z")
    world.clock.seconds += 400 * DAY_S

    await forget(world)

    for job_id in (running.job_id, queued.id, waiting.id):
        assert await world.read(partial(get_job, job_id=job_id)) is not None


async def test_a_job_is_kept_as_long_as_its_key(world: World) -> None:
    """However short jobs are kept, a repeated request finds its answer for a day."""
    job = await world.submit()
    await world.cancel(job.id)
    world.clock.seconds += DAY_S - 1

    assert await forget(world, Retention(0.0, 0.0)) == []
    world.clock.seconds += 2
    assert await forget(world, Retention(0.0, 0.0)) == [job.id]


async def test_a_job_whose_end_was_heard_late_is_kept(world: World) -> None:
    """A worker that comes back after a hundred days brings a result that people see."""
    worker = await world.worker()
    grant = await worker.running()
    world.clock.seconds += 100 * DAY_S
    assert (await worker.tell(failed(grant, at_us=0))).settled

    assert await forget(world) == []
    world.clock.seconds += 91 * DAY_S
    assert await forget(world) == [grant.job_id]


async def test_jobs_go_in_small_batches(world: World) -> None:
    """One call removes a bounded number, the oldest first."""
    jobs = [(await world.submit()).id for _ in range(BATCH + 5)]
    for job in jobs:
        await world.cancel(job)
        world.clock.seconds += 0.001
    world.clock.seconds += 31 * DAY_S

    assert await forget(world) == jobs[:BATCH]
    assert await forget(world) == jobs[BATCH:]
    assert await forget(world) == []


async def test_a_file_goes_a_week_after_its_last_use(world: World) -> None:
    """Uploading it again, or naming it in a job, begins its week anew."""
    for sha256 in ("a" * 64, "b" * 64, "c" * 64):
        await world.write(partial(record_file, sha256=sha256, size=3))
    world.clock.seconds += 6 * DAY_S
    await world.write(lambda tx: record_file(tx, sha256="b" * 64, size=3))
    job = await world.submit(inputs=[{"file": "c" * 64, "name": "x"}])
    world.clock.seconds += 2 * DAY_S

    assert await world.write(forget_files) == ["a" * 64]
    assert await world.read(lambda r: find_file(r, "a" * 64)) is None
    world.clock.seconds += 30 * DAY_S
    assert await world.write(forget_files) == ["b" * 64]
    await world.cancel(job.id)
    world.clock.seconds += 31 * DAY_S
    await forget(world)
    assert await world.write(forget_files) == ["c" * 64]


async def test_old_sessions_go(world: World) -> None:
    """Sessions that are over for a month are removed; the last one of a worker stays."""
    worker = await world.worker()
    for _ in range(3):
        await worker.connect()
    world.clock.seconds += 31 * DAY_S

    await world.write(forget_sessions)

    assert await world.read(lambda r: r.tuples("SELECT id FROM session")) == [(worker.session,)]
    await worker.heartbeat()


async def test_requirements_go_when_no_job_has_them(world: World) -> None:
    """A line and its requirement are kept for unfinished jobs, and a day for who comes next."""
    worker = await world.worker(tags=["kept", "rare"])
    rare = await world.submit(requires={"tags": ["rare"]})
    kept = await world.submit(requires={"tags": ["kept"]}, run_at="2100-01-01T00:00:00Z")
    await world.cancel(rare.id)
    assert await world.read(idle_lines) == []
    world.clock.seconds += 2 * DAY_S
    idle = await world.read(idle_lines)
    assert len(idle) == 1

    again = await world.submit(requires={"tags": ["rare"]})
    assert await world.write(partial(forget_lines, numbers=idle)) == 0
    assert (await worker.claim_one()).job_id == again.id
    await world.cancel(again.id)
    await worker.heartbeat()
    world.clock.seconds += 2 * DAY_S
    assert await world.write(partial(forget_lines, numbers=idle)) == 1

    for table in ("line", "requirement"):
        assert await world.read(lambda r: r.tuples(f"SELECT count(*) FROM {table}")) == [(1,)]  # noqa: B023
    assert (await world.job(kept.id)).state == "scheduled"
    later = await world.submit(requires={"tags": ["rare"]})
    assert (await worker.claim_one()).job_id == later.id


async def test_each_end_has_its_time(world: World) -> None:
    """Failures are kept for longer than what nobody has to mend."""
    worker = await world.worker()
    good, bad = await worker.running(), await worker.running()
    await worker.report(ended(good), failed(bad))
    gone = await world.submit()
    await world.cancel(gone.id)
    world.clock.seconds += 31 * DAY_S

    assert await forget(world) == [good.job_id, gone.id]
    world.clock.seconds += 60 * DAY_S
    assert await forget(world) == [bad.job_id]


async def test_what_another_job_depends_on_is_kept(world: World) -> None:
    """As long as it is not settled what follows from its end, a finished job stays."""
    parent = await world.submit()
    child = await world.submit(depends_on=[{"job": parent.id}])
    await world.write(
        lambda tx: tx.execute("UPDATE job_dependency SET parent_id = 'x' WHERE job_id <> ''")
    )
    await world.cancel(parent.id)
    await world.write(
        lambda tx: tx.execute("UPDATE job_dependency SET parent_id = :id", id=parent.id)
    )
    world.clock.seconds += 31 * DAY_S

    assert await forget(world) == []
    await world.cancel(child.id)
    world.clock.seconds += 31 * DAY_S
    assert await forget(world) == [parent.id, child.id]


async def test_what_would_go_is_counted_exactly(world: World) -> None:
    """A preview says how many jobs, and how many bytes of output, and forgets nothing."""
    worker = await world.worker()
    data = printed(b"x" * 100)
    for _ in range(3):
        grant = await worker.running()
        end = ended(grant, output_length=len(data), output_digest=digest(data))
        await worker.report(output(grant, data), end)
    world.clock.seconds += 31 * DAY_S
    recent = await worker.running()
    await worker.tell(ended(recent))
    count = partial(prunable, now_us=world.now_us, kept=USUAL)

    good = await world.read(partial(count, state=JobState.SUCCEEDED))
    bad = await world.read(partial(count, state=JobState.FAILED))

    assert good == Prunable(3, 3 * len(data), None)
    assert bad == Prunable(0, 0, None)
    assert len(await forget(world)) == 3
    assert await world.read(partial(count, state=JobState.SUCCEEDED)) == Prunable(0, 0, None)


async def test_turns_and_starts_are_forgotten_a_few_at_a_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many there are, no step takes long; what a limit may still ask for is kept."""
    monkeypatch.setattr(retention, "ROWS", 2)

    def remember(tx: Transaction) -> None:
        for number in range(5):
            at_us = tx.now_us - (number < 4) * 2 * round(DAY_S * 1_000_000)
            tx.execute(
                "INSERT INTO rate_start (name, started_us, job_id, attempt) "
                "VALUES ('api', :at_us, :job_id, 1)",
                at_us=at_us,
                job_id=f"job_{number}",
            )
            tx.execute(
                "INSERT INTO turn (queue, fairness_key, served_us) VALUES ('q', :key, :at_us)",
                key=str(number),
                at_us=at_us,
            )

    await world.write(remember)

    assert [await world.write(forget_turns) for _ in range(3)] == [True, True, False]

    left = await world.read(
        lambda r: r.tuples("SELECT (SELECT count(*) FROM rate_start), (SELECT count(*) FROM turn)")
    )
    assert left == [(1, 1)]
