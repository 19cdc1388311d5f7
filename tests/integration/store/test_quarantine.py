"""Workers on which jobs fail for reasons of the machine: out, on trial, in again; never the last.

Each story is told to the real operations on both databases; only time is the test's.
"""

from functools import partial

import pytest

from orchestrator.core.breaker import JOBS
from orchestrator.kernel.errors import AlreadyExists, NotFound
from orchestrator.protocol.views import QuarantineView, WorkerView
from orchestrator.protocol.wire import Grant, Offer
from orchestrator.protocol.words import BreakerState, Outcome, PendingReason, Reason
from orchestrator.server.facts import BreakerChanged
from orchestrator.server.operations.explain import explain
from orchestrator.server.operations.quarantine import quarantine, release, worker_named
from orchestrator.server.operations.workers import list_workers, view_worker
from tests.integration.store.world import Worker, World, ended, failed, live, started

KEEP_OUT, LET_IN = "the fan is loud", "the fan was cleaned"


async def _view(world: World, worker: Worker) -> WorkerView:
    return await world.read(partial(view_worker, worker_id=worker.id))


async def _told(world: World, worker: Worker) -> QuarantineView:
    found = (await _view(world, worker)).quarantine
    assert found is not None
    return found


async def _broken(worker: Worker, reason: Reason = Reason.DISK_FULL, **job: object) -> Grant:
    """Let a job fail there for a reason of the machine."""
    grant = await worker.running(**job)
    outcome = Outcome.LOST if reason is Reason.WORKER_LOST else Outcome.FAILED
    await worker.tell(ended(grant, outcome, reason=reason, message=f"of {grant.job_id}"))
    return grant


async def _quarantined(world: World, worker: Worker, reason: Reason = Reason.DISK_FULL) -> None:
    for _ in range(JOBS):
        await _broken(worker, reason)
    assert (await _told(world, worker)).state is BreakerState.OPEN


async def _pause_over(world: World, *others: Worker) -> None:
    """Let its pause go by, while the others are heard of."""
    for _ in range(4):
        await world.pass_time(16)
        for worker in others:
            await worker.heartbeat()


@pytest.mark.parametrize("reason", [Reason.SPAWN_ERROR, Reason.DISK_FULL, Reason.OOM])
async def test_a_machine_on_which_jobs_fail_is_given_no_more(world: World, reason: Reason) -> None:
    """Others go on; it is told since when, why, what comes next, and by which tries."""
    bad, good = await world.worker("bad"), await world.worker("good")
    grants = [await _broken(bad, reason) for _ in range(JOBS)]

    job = await world.submit()
    assert await bad.claim(8) == []
    assert (await good.claim_one()).job_id == job.id

    told = await _told(world, bad)
    assert (told.state, told.serves, told.times, told.by) == (BreakerState.OPEN, False, 1, None)
    assert told.why == f"3 different jobs failed here one after another ({reason})"
    assert told.until is not None
    assert 30 <= (told.until - told.since).total_seconds() <= 60
    assert {(fault.job_id, fault.reason) for fault in told.faults} == {
        (grant.job_id, reason) for grant in grants
    }
    assert (await _view(world, good)).quarantine is None
    changed = [fact for fact in world.facts if isinstance(fact, BreakerChanged)]
    assert [(fact.worker_id, fact.event) for fact in changed] == [(bad.id, "tripped")]


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.TIMED_OUT])
async def test_jobs_that_are_at_fault_themselves_cost_no_machine_its_trust(
    world: World, outcome: Outcome
) -> None:
    """However many commands fail or take too long: the machine ran them."""
    reason = Reason.EXIT_NONZERO if outcome is Outcome.FAILED else Reason.TIMEOUT_RUN
    worker = await world.worker()
    await world.worker("other")
    for _ in range(3 * JOBS):
        grant = await worker.running()
        await worker.tell(ended(grant, outcome, reason=reason, exit_code=1))

    assert (await _view(world, worker)).quarantine is None


async def test_a_program_that_is_nowhere_is_the_jobs_fault(world: World) -> None:
    """What cannot be started on another machine either says nothing about this one."""
    one, two = await world.worker("one"), await world.worker("two")
    for n in range(JOBS):
        grant = await one.running()
        message = f"there is no program mkae in 1{n} folders"
        await one.tell(ended(grant, Outcome.FAILED, reason=Reason.SPAWN_ERROR, message=message))
    assert (await _told(world, one)).state is BreakerState.OPEN

    for _ in range(2 * JOBS):
        grant = await two.running()
        message = "there is no program mkae in 12 folders"
        await two.tell(ended(grant, Outcome.FAILED, reason=Reason.SPAWN_ERROR, message=message))

    assert [one.quarantine for one in await world.read(list_workers)] == [None, None]


async def test_a_job_that_runs_between_shows_that_the_machine_is_well(world: World) -> None:
    """Only failures one after another count, unless the same jobs succeed elsewhere."""
    worker = await world.worker()
    await world.worker("other")
    for _ in range(JOBS):
        await _broken(worker)
        await _broken(worker)
        good = await worker.running()
        await worker.tell(ended(good))

    assert (await _view(world, worker)).quarantine is None


async def test_what_succeeds_elsewhere_speaks_against_a_machine(world: World) -> None:
    """Also for reasons that are a job's own as a rule, and in spite of jobs that go well here."""
    bad, good = await world.worker("bad"), await world.worker("good")
    policy = {"max_attempts": 2, "backoff": {"initial_s": 0}}
    for _ in range(JOBS):
        grant = await bad.running(retry=policy)
        await bad.tell(failed(grant, 3))
        fine = await bad.running()
        await bad.tell(ended(fine))
        await world.pass_time(1)
        again = await good.claim_one()
        assert again.job_id == grant.job_id
        await good.report(started(again), ended(again))

    told = await _told(world, bad)
    assert told.why == "3 different jobs failed here (exit_nonzero) and succeeded elsewhere"
    assert all(fault.succeeded_elsewhere for fault in told.faults)


async def test_a_power_cut_is_one_thing_that_happened(world: World) -> None:
    """All jobs of a machine are lost with it; it is back, and is given jobs as before."""
    worker, other = await world.worker("cut"), await world.worker("other")
    for _ in range(2 * JOBS):
        await worker.running()
    for _ in range(10):
        await world.pass_time(10)
        await other.heartbeat()
    await worker.connect()

    assert (await _view(world, worker)).quarantine is None


async def test_a_canary_that_succeeds_lets_its_worker_in(world: World) -> None:
    """After the pause it is given one job and no second; when that is well, all that fit."""
    bad, good = await world.worker("bad"), await world.worker("good")
    await _quarantined(world, bad)
    jobs = [await world.submit() for _ in range(4)]
    assert await bad.claim(8) == []

    await _pause_over(world, bad, good)
    [canary] = await bad.claim(8)
    assert await bad.claim(8) == []
    told = await _told(world, bad)
    assert (told.state, told.canary, told.until) == (BreakerState.HALF_OPEN, canary.job_id, None)
    await bad.report(started(canary), ended(canary))

    assert (await _view(world, bad)).quarantine is None
    assert len(await bad.claim(8)) == len(jobs) - 1


async def test_a_canary_that_fails_keeps_it_out_for_longer(world: World) -> None:
    """A job's own failure decides nothing: the next job is the canary."""
    bad, good = await world.worker("bad"), await world.worker("good")
    await _quarantined(world, bad)
    for _ in range(3):
        await world.submit()
    await _pause_over(world, bad, good)

    [own] = await bad.claim(8)
    await bad.report(started(own), failed(own))
    assert (await _told(world, bad)).state is BreakerState.HALF_OPEN
    [canary] = await bad.claim(8)
    await bad.report(started(canary), ended(canary, Outcome.FAILED, reason=Reason.DISK_FULL))

    told = await _told(world, bad)
    assert (told.state, told.times) == (BreakerState.OPEN, 2)
    assert told.why == f"the canary {canary.job_id} failed (disk_full)"
    assert told.until is not None
    assert (told.until - told.since).total_seconds() > 60
    assert await bad.claim(8) == []


async def test_a_canary_that_is_given_back_is_followed_by_another(world: World) -> None:
    """No canary that goes astray leaves its worker on trial for ever."""
    bad, good = await world.worker("bad"), await world.worker("good")
    await _quarantined(world, bad)
    await world.submit()
    await _pause_over(world, bad, good)
    [canary] = await bad.claim(8)
    assert await bad.claim(8) == []

    await world.cancel(canary.job_id)
    await bad.tell(ended(canary, Outcome.CANCELLED, reason=Reason.CANCELLED_BY_USER))
    next_one = await world.submit()

    assert [grant.job_id for grant in await bad.claim(8)] == [next_one.id]


async def test_the_last_that_can_do_something_goes_on(world: World) -> None:
    """It is suspect, and is told to be; with another one that could, it is given nothing."""
    bad = await world.worker("bad")
    await _quarantined(world, bad)
    job = await world.submit()

    assert [grant.job_id for grant in await bad.claim(8)] == [job.id]
    assert (await _told(world, bad)).serves

    good = await world.worker("good")
    await world.submit()
    assert await bad.claim(8) == []
    assert not (await _told(world, bad)).serves

    await good.heartbeat(offer=Offer(slots=0, kinds=["command"]))
    assert len(await bad.claim(8)) == 1


async def test_it_goes_on_when_the_other_one_is_gone(world: World) -> None:
    """Whether it left in order or fell silent: no job waits for a worker that is not there."""
    bad, good, silent = [await world.worker(name) for name in ("bad", "good", "silent")]
    await _quarantined(world, bad)
    await world.submit()
    await good.goodbye()
    assert await bad.claim(8) == []

    for _ in range(3):
        await world.pass_time(12)
        await bad.heartbeat()

    assert len(await bad.claim(8)) == 1
    assert silent.session


async def test_of_two_in_quarantine_the_later_one_goes_on(world: World) -> None:
    """And what only the earlier one can do, it still does."""
    one, two = await world.worker("one", tags=["gpu"]), await world.worker("two")
    await _quarantined(world, one)
    world.clock.seconds += 1
    await _quarantined(world, two, Reason.OOM)
    plain, special = await world.submit(), await world.submit(requires={"tags": ["gpu"]})

    assert [grant.job_id for grant in await one.claim(8)] == [special.id]
    assert [grant.job_id for grant in await two.claim(8)] == [plain.id]


async def test_a_success_of_the_last_one_is_its_proof(world: World) -> None:
    """What it was given since then counts; what ran before says nothing about now."""
    worker = await world.worker()
    before = await worker.running()
    world.clock.seconds += 1
    await _quarantined(world, worker)
    await worker.tell(ended(before))
    assert (await _told(world, worker)).state is BreakerState.OPEN

    world.clock.seconds += 1
    after = await worker.running()
    await worker.tell(ended(after))

    assert (await _view(world, worker)).quarantine is None


async def test_quarantine_survives_a_restart(world: World) -> None:
    """With everything that is told of it."""
    bad, good = await world.worker("bad"), await world.worker("good")
    await _quarantined(world, bad)
    before = await _told(world, bad)

    await world.restart()
    await world.submit()

    assert await _told(world, bad) == before
    assert await bad.claim(8) == []
    assert len(await good.claim(8)) == 1
    await bad.connect()
    await world.submit()
    assert await bad.claim(8) == []


async def test_a_person_keeps_a_worker_out_and_lets_it_in(world: World) -> None:
    """Also the last one: then the job says so. What runs goes on; twice is once."""
    worker = await world.worker()
    running = await worker.running()
    await world.write(partial(quarantine, worker="w1", by="ada", reason=KEEP_OUT))
    job = await world.submit()
    assert await worker.claim(8) == []

    told = await _told(world, worker)
    assert (told.state, told.why, told.by, told.until) == (
        BreakerState.FORCED,
        KEEP_OUT,
        "ada",
        None,
    )
    assert (await world.job(job.id)).pending_reason is PendingReason.WORKERS_QUARANTINED
    found = await world.read(partial(explain, job_id=job.id))
    assert found is not None
    assert found.pending_reason is PendingReason.WORKERS_QUARANTINED
    assert "all workers that match (1) are in quarantine" in found.words
    assert found.nearest is not None
    assert found.nearest.lacks == ["trust (it is in quarantine)"]
    await worker.heartbeat(live(running))
    await worker.tell(ended(running))
    assert (await _told(world, worker)).state is BreakerState.FORCED

    for _ in range(2):
        await world.write(partial(release, worker=worker.id, by="ada", reason=LET_IN))
    assert (await _view(world, worker)).quarantine is None
    changed = [fact for fact in world.facts if isinstance(fact, BreakerChanged)]
    assert [(fact.event, fact.why, fact.by) for fact in changed] == [
        ("quarantined", KEEP_OUT, "ada"),
        ("released", LET_IN, "ada"),
    ]
    assert (await worker.claim_one()).job_id == job.id


async def test_a_worker_is_named_by_its_name_or_its_id(world: World) -> None:
    """One that nobody knows, and a name that two have, are told."""
    one = await world.worker()
    assert await world.read(partial(worker_named, worker="w1")) == one.id
    assert await world.read(partial(worker_named, worker=one.id)) == one.id
    with pytest.raises(NotFound, match="there is no worker w2"):
        await world.read(partial(worker_named, worker="w2"))

    await world.write(
        lambda tx: tx.execute("UPDATE worker SET name = 'twin' WHERE id = :id", id=one.id)
    )
    two = await world.worker("twin")
    with pytest.raises(AlreadyExists) as refusal:
        await world.read(partial(worker_named, worker="twin"))
    assert two.id in (refusal.value.hint or "")
