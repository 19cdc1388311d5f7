"""Never a mystery: each reason for which a job waits, its words, and the start once it is gone."""

from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from orchestrator.protocol.views import Explanation
from orchestrator.protocol.words import JobState, PendingReason
from orchestrator.server.operations.explain import explain
from orchestrator.server.operations.hold import hold, release
from orchestrator.server.operations.quarantine import quarantine
from orchestrator.server.operations.quarantine import release as let_in
from tests.integration.store.world import Worker, World, ended, failed, started

Removal = Callable[[], Awaitable[Worker]]
SOON = 1_800_000_100


async def _explained(world: World, job_id: str) -> Explanation:
    found = await world.read(lambda reader: explain(reader, job_id))
    assert found is not None
    return found


async def _no_worker_online(world: World) -> tuple[str, Removal]:
    job = await world.submit()
    return job.id, world.worker


async def _only_an_absent_worker(world: World) -> tuple[str, Removal]:
    worker = await world.worker()
    job = await world.submit()
    await world.pass_time(35)

    async def back() -> Worker:
        await worker.heartbeat()
        return worker

    return job.id, back


async def _no_worker_matches(world: World) -> tuple[str, Removal]:
    await world.worker(tags=["arm"])
    job = await world.submit(requires={"tags": ["gpu"]})
    return job.id, lambda: world.worker("w2", tags=["gpu", "arm"])


async def _all_slots_busy(world: World) -> tuple[str, Removal]:
    worker = await world.worker(slots=1)
    busy = await worker.running()
    job = await world.submit()

    async def free() -> Worker:
        await worker.tell(ended(busy))
        return worker

    return job.id, free


async def _not_before(world: World) -> tuple[str, Removal]:
    worker = await world.worker()
    job = await world.submit(run_at="2027-01-15T08:01:40Z")

    async def due() -> Worker:
        await world.pass_time(SOON - world.clock.now() + 1)
        await worker.heartbeat()
        return worker

    return job.id, due


async def _backoff(world: World) -> tuple[str, Removal]:
    worker = await world.worker()
    grant = await worker.running(retry={"max_attempts": 2, "backoff": {"initial_s": 20}})
    await worker.tell(failed(grant))

    async def due() -> Worker:
        await world.pass_time(21)
        return worker

    return grant.job_id, due


async def _held(world: World) -> tuple[str, Removal]:
    worker = await world.worker()
    job = await world.submit()
    await world.write(partial(hold, ids=[job.id], by="ada"))

    async def let_go() -> Worker:
        await world.write(partial(release, ids=[job.id], by="ada"))
        return worker

    return job.id, let_go


async def _quarantined(world: World) -> tuple[str, Removal]:
    worker = await world.worker()
    await world.write(partial(quarantine, worker="w1", by="ada", reason="a loud fan"))
    job = await world.submit()
    assert await worker.claim() == []

    async def released() -> Worker:
        await world.write(partial(let_in, worker="w1", by="ada", reason="cleaned"))
        return worker

    return job.id, released


async def _starting(world: World) -> tuple[str, Removal]:
    worker = await world.worker()
    job = await world.submit()

    async def nothing() -> Worker:
        return worker

    return job.id, nothing


CASES: list[tuple[Callable[[World], Awaitable[tuple[str, Removal]]], PendingReason, str]] = [
    (_no_worker_online, PendingReason.NO_WORKER_ONLINE, "none was ever enrolled"),
    (_only_an_absent_worker, PendingReason.NO_WORKER_ONLINE, "no worker is online (1 known)"),
    (_no_worker_matches, PendingReason.NO_WORKER_MATCHES, "none of 1 online workers has all"),
    (_all_slots_busy, PendingReason.ALL_SLOTS_BUSY, "all slots of the workers that match (1)"),
    (_not_before, PendingReason.NOT_BEFORE, "it waits for its moment, until 2027-01-15 08:01:40Z"),
    (_backoff, PendingReason.BACKOFF, "it failed or was lost (1 so far) and pauses"),
    (_held, PendingReason.HELD, "somebody keeps it back"),
    (_quarantined, PendingReason.WORKERS_QUARANTINED, "all workers that match (1) are in"),
    (_starting, PendingReason.STARTING, "a worker is about to take it (1 have a free slot)"),
]


@pytest.mark.parametrize(("construct", "reason", "words"), CASES)
async def test_each_reason_is_told_and_its_end_starts_the_job(
    world: World,
    construct: Callable[[World], Awaitable[tuple[str, Removal]]],
    reason: PendingReason,
    words: str,
) -> None:
    """The reason is exact, in words and in lists; without its cause the job starts."""
    job_id, remove = await construct(world)

    told = await _explained(world, job_id)
    assert told.pending_reason is (await world.job(job_id)).pending_reason is reason
    assert words in told.words

    worker = await remove()
    (grant,) = await worker.claim()
    assert grant.job_id == job_id
    leased = await _explained(world, job_id)
    assert (leased.state, leased.pending_reason) == (JobState.LEASED, PendingReason.STARTING)
    await worker.report(started(grant))
    assert "it runs on" in (await _explained(world, job_id)).words


async def test_the_nearest_miss_is_named(world: World) -> None:
    """Of several workers the one that lacks least, and how many lack what."""
    await world.worker("far")
    await world.worker("near", tags=["gpu"])
    job = await world.submit(requires={"tags": ["gpu", "arm"], "platform": "linux"})

    told = await _explained(world, job.id)

    assert (told.workers, told.workers_online, told.workers_matching) == (2, 2, 0)
    assert [(miss.constraint, miss.workers) for miss in told.failing] == [
        ("tag arm", 2),
        ("tag gpu", 1),
    ]
    assert told.nearest is not None
    assert (told.nearest.worker, told.nearest.lacks) == ("near", ["tag arm"])


async def test_each_clause_is_counted_and_the_only_one_in_the_way_is_named(world: World) -> None:
    """Who fails nothing else is told of, and a tag that was misspelt."""
    for name, tags in {"a": ["cuda=11.8"], "b": [], "c": ["gpu"]}.items():
        await world.worker(name, tags=tags)
    job = await world.submit(requires={"tags": "linux && (gpu && gfast || cuda>=12) && x86_64"})
    other = await world.submit(requires={"tags": ["gpux"]})

    told = await _explained(world, job.id)

    assert [(miss.constraint, miss.workers) for miss in told.failing] == [
        ("cuda>=12 || (gfast && gpu)", 3)
    ]
    assert told.words.endswith("asks for; 3 match except cuda>=12 || (gfast && gpu)")
    assert "; did you mean gpu by gpux?" in (await _explained(world, other.id)).words

    worker = await world.worker("d", tags=["cuda=12.4", "macos"])
    assert [grant.job_id for grant in await worker.claim(8)] == [job.id]


async def test_a_requirement_is_interned_however_it_is_written(world: World) -> None:
    """Two texts that mean the same are matched once."""
    for tags in ("gpu && !arm", ["!arm", "gpu"], "!(arm || !gpu)"):
        await world.submit(requires={"tags": tags})

    rows = await world.read(lambda reader: reader.rows("SELECT tags FROM requirement"))

    assert [row["tags"] for row in rows] == ['["!arm", "gpu"]']


async def test_what_does_not_wait_is_explained_as_well(world: World) -> None:
    """Running with an absent worker, cancelling, over: a sentence for each."""
    worker = await world.worker()
    grant, other = await worker.running(), await worker.running()
    await world.cancel(other.job_id)

    await world.pass_time(35)
    assert "which is offline" in (await _explained(world, grant.job_id)).words
    assert "being ended" in (await _explained(world, other.job_id)).words

    await worker.tell(ended(grant))
    assert (await _explained(world, grant.job_id)).words == "it is over"


async def test_a_job_that_is_not_there_is_not_explained(world: World) -> None:
    """Nothing is said of nothing."""
    assert await world.read(lambda reader: explain(reader, world.id("job"))) is None
