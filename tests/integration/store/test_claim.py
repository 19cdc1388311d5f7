"""Claiming: who gets which job, once, in which order."""

import pytest

from orchestrator.kernel.errors import LeaseLost, NotFound
from orchestrator.protocol.wire import ClaimRequest
from orchestrator.protocol.words import JobState, PendingReason
from orchestrator.server.facts import JobChanged
from orchestrator.server.operations.claim import claim
from tests.integration.store.world import World, ended
from tests.support.builders import command, delay


async def test_a_claimed_job_is_leased_with_the_next_attempt_number(world: World) -> None:
    """A claim raises the attempt number and says in the timeline who has the job."""
    job = await world.submit(name="n", env={"A": "1"}, timeout_s=5, silence_s=2, grace_s=1)
    worker = await world.worker()

    grant = await worker.claim_one()

    assert (grant.job_id, grant.attempt, grant.kind, grant.name) == (job.id, 1, "command", "n")
    assert grant.params["argv"] == ["true"]
    assert (grant.env, grant.timeout_s, grant.silence_s, grant.grace_s) == ({"A": "1"}, 5, 2, 1)
    shown = await world.job(job.id)
    assert (shown.state, shown.attempt, shown.worker) == (JobState.LEASED, 1, "w1")
    assert shown.pending_reason is PendingReason.STARTING
    assert await world.told(job.id) == ["submitted", "claimed"]
    assert world.facts[-1] == JobChanged(job.id)


async def test_each_job_is_given_once(world: World) -> None:
    """Two workers that claim everything share it without overlap."""
    jobs = {(await world.submit()).id for _ in range(5)}
    first, second = await world.worker("w1"), await world.worker("w2")

    one = await first.claim(3)
    two = await second.claim(8)

    assert (len(one), len(two)) == (3, 2)
    assert {grant.job_id for grant in [*one, *two]} == jobs
    assert await first.claim(8) == []


async def test_order_is_first_come_first_served(world: World) -> None:
    """Jobs of one priority are given in the order in which they came."""
    jobs = [(await world.submit()).id for _ in range(4)]
    worker = await world.worker()

    assert [grant.job_id for grant in await worker.claim(8)] == jobs


async def test_a_point_of_priority_is_worth_a_minute_of_waiting(world: World) -> None:
    """A more urgent job overtakes, until the other one has waited long enough."""
    low = await world.submit(priority=0)
    await world.pass_time(30)
    high = await world.submit(priority=1)
    worker = await world.worker()
    grants = await worker.claim(2)
    assert [grant.job_id for grant in grants] == [high.id, low.id]
    await worker.report(*map(ended, grants))

    old = await world.submit(priority=0)
    await world.pass_time(90)
    new = await world.submit(priority=1)
    assert [grant.job_id for grant in await worker.claim(2)] == [old.id, new.id]


async def test_order_holds_across_requirements(world: World) -> None:
    """Jobs with different requirements that one worker satisfies come in one order."""
    wanted = [command(), delay(), command(requires={"tags": ["a"]}), delay(), command()]
    jobs = [(await world.submit(job)).id for job in wanted]
    worker = await world.worker(tags=["a", "b"])

    first, rest = await worker.claim(2), await worker.claim(8)

    assert [grant.job_id for grant in [*first, *rest]] == jobs


@pytest.mark.parametrize(
    ("requires", "fits"),
    [
        ({}, True),
        ({"tags": ["gpu"]}, True),
        ({"tags": ["gpu", "big"]}, False),
        ({"platform": "linux"}, True),
        ({"platform": "macos"}, False),
        ({"worker": "w1"}, True),
        ({"worker": "w2"}, False),
    ],
)
@pytest.mark.parametrize("worker_first", [True, False])
async def test_a_worker_gets_only_what_it_can_run(
    world: World, requires: dict[str, object], fits: bool, worker_first: bool
) -> None:
    """Requirements hold whether the job or the worker was there first."""
    worker = await world.worker(tags=["gpu"]) if worker_first else None
    await world.submit(requires=requires)
    worker = worker or await world.worker(tags=["gpu"])

    assert bool(await worker.claim()) == fits


async def test_a_worker_gets_only_kinds_that_it_has(world: World) -> None:
    """A job of a kind that a worker does not have waits for one that has it."""
    await world.submit(delay())
    worker = await world.worker(kinds=["command"])

    assert await worker.claim() == []
    await worker.connect(kinds=["command", "delay"])
    assert len(await worker.claim()) == 1


async def test_a_claim_without_work_costs_its_number_nothing(world: World) -> None:
    """A long poll asks again with the same number until there is work."""
    worker = await world.worker()
    assert await worker.claim(number=1) == []
    await world.submit()

    assert len(await worker.claim(number=1)) == 1


async def test_a_repeated_claim_returns_the_same_attempts(world: World) -> None:
    """A claim whose answer was lost is repeated, and nothing more is given."""
    for _ in range(3):
        await world.submit()
    worker = await world.worker()
    first = await worker.claim(2, number=1)

    again = await worker.claim(2, number=1)

    assert again == first
    assert len(await worker.claim(2, number=2)) == 1


async def test_a_claim_tells_whether_its_number_is_new(world: World) -> None:
    """Only a new number may be given something later; an answered or an older one never is."""
    worker = await world.worker()

    async def is_fresh(number: int) -> bool:
        asked = ClaimRequest(session_id=worker.session, number=number, slots=1)
        given = await world.write(lambda tx: claim(tx, asked, worker_id=worker.id))
        return given.fresh

    assert await is_fresh(2)  # nothing was there: it may ask again
    await world.submit()
    assert await is_fresh(2)
    assert not await is_fresh(2)
    assert not await is_fresh(1)
    assert await is_fresh(3)


async def test_a_claim_that_went_astray_is_given_nothing(world: World) -> None:
    """A number below the last one that was answered belongs to a call that nobody waits for."""
    for _ in range(3):
        await world.submit()
    worker = await world.worker()
    await worker.claim(number=5)

    assert await worker.claim(number=4) == []
    assert len(await worker.claim(8, number=6)) == 2


async def test_only_a_sessions_own_worker_may_claim_in_it(world: World) -> None:
    """An unknown session and somebody else's are the same to whoever asks."""
    worker, other = await world.worker("w1"), await world.worker("w2")
    worker.session = other.session
    with pytest.raises(NotFound) as foreign:
        await worker.claim()

    worker.session = world.id("session")
    with pytest.raises(NotFound) as unknown:
        await worker.claim()

    assert foreign.value.problem_code == unknown.value.problem_code


async def test_a_session_that_is_over_gets_nothing(world: World) -> None:
    """After goodbye a claim is refused with a code that says to open a new session."""
    await world.submit()
    worker = await world.worker()
    await worker.goodbye()

    with pytest.raises(LeaseLost) as refusal:
        await worker.claim()

    assert refusal.value.problem_code == "session_ended"
