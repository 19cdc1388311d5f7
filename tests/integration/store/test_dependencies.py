"""Jobs that depend on others: when they go on, when they fail, and what people are told of it."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest

from orchestrator.kernel.errors import RequestInvalid
from orchestrator.protocol.base import moment
from orchestrator.protocol.views import Explanation, JobView
from orchestrator.protocol.wire import Grant
from orchestrator.protocol.words import JobState, Outcome, PendingReason, Reason
from orchestrator.server.operations import dependents
from orchestrator.server.operations.explain import explain
from orchestrator.server.operations.hold import hold, release
from orchestrator.server.operations.repeat import repeat
from orchestrator.server.operations.ring import next_ring, ring
from tests.integration.store.world import Worker, World, ended, failed

S = JobState


def after(*jobs: JobView | str, **how: Any) -> dict[str, Any]:
    """Return the field of a job that waits for others."""
    ids = [job if isinstance(job, str) else job.id for job in jobs]
    return {"depends_on": [{"job": job_id, **how} for job_id in ids]}


async def finish(worker: Worker, job: JobView, outcome: Outcome = Outcome.SUCCEEDED) -> None:
    """Run a job to its end."""
    (grant,) = await worker.claim(1, job_id=job.id)
    await report(worker, grant, outcome)


async def report(worker: Worker, grant: Grant, outcome: Outcome) -> None:
    """Say how an attempt ended."""
    told = ended(grant) if outcome is Outcome.SUCCEEDED else failed(grant, 3)
    await worker.tell(told)


async def explained(world: World, job: JobView) -> Explanation:
    """Return why a job is where it is."""
    found = await world.read(partial(explain, job_id=job.id))
    assert found is not None
    return found


async def states(world: World, jobs: Sequence[JobView]) -> list[JobState]:
    """Return where jobs are."""
    return [(await world.job(job.id)).state for job in jobs]


async def open_rows(world: World) -> int:
    """Return how many dependencies are kept."""
    rows = await world.read(lambda reader: reader.tuples("SELECT count(*) FROM job_dependency"))
    return int(rows[0][0])


async def test_a_job_begins_when_everything_that_it_depends_on_succeeded(
    world: World, worker: Worker
) -> None:
    """It is blocked until then, says for what it waits, and is given to nobody."""
    first, second = await world.submit(name="build"), await world.submit()
    job = await world.submit(**after(first, second))
    assert (job.state, job.pending_reason) == (S.BLOCKED, PendingReason.DEPENDENCIES)

    await finish(worker, second)

    told = await explained(world, job)
    assert [one.job for one in told.dependencies] == [first.id]
    assert f"a job that is not over: {first.id} (build, queued)" in told.words
    await finish(worker, first)
    assert (await worker.claim_one()).job_id == job.id
    assert (await world.told(job.id))[:3] == ["submitted", "dependencies_met", "claimed"]
    assert await open_rows(world) == 0


@pytest.mark.parametrize(
    ("how", "state"),
    [
        ({}, S.FAILED),
        ({"on_failure": "continue"}, S.QUEUED),
        ({"on_failure": "hold"}, S.HELD),
        ({"on": "finish"}, S.QUEUED),
    ],
)
@pytest.mark.parametrize("is_over", [False, True])
async def test_a_failed_dependency_does_what_was_asked_for(
    world: World, worker: Worker, how: dict[str, Any], state: JobState, *, is_over: bool
) -> None:
    """The job fails as well, goes on or is held; also if the other one was over already."""
    parent = await world.submit(name="build")
    if is_over:
        await finish(worker, parent, Outcome.FAILED)
    job = await world.submit(**after(parent, **how))
    if not is_over:
        await finish(worker, parent, Outcome.FAILED)

    shown = await world.job(job.id)

    assert shown.state is state
    if state is S.FAILED:
        assert shown.reason is Reason.DEPENDENCY_FAILED
        assert job.state is (S.FAILED if is_over else S.BLOCKED)
    if state in {S.FAILED, S.HELD}:
        words = f"it needs {parent.id} (build), which is failed (exit_nonzero)"
        assert shown.message == words
    assert await open_rows(world) == 0
    if state is S.HELD:
        await world.write(partial(release, ids=[job.id], by="ada"))
        assert (await world.job(job.id)).state is S.QUEUED


@pytest.mark.parametrize("how", ["cancelled", "expired"])
async def test_what_ends_without_a_try_is_no_success_either(world: World, how: str) -> None:
    """A cancelled or expired dependency fails what needs it, and lets go what needs its end."""
    parent = await world.submit(queue_ttl_s=10)
    needs = await world.submit(**after(parent))
    waits = await world.submit(**after(parent, on="finish"))

    if how == "cancelled":
        await world.cancel(parent.id)
    else:
        await world.pass_time(11)

    assert await states(world, [parent, needs, waits]) == [how, S.FAILED, S.QUEUED]
    message = (await world.job(needs.id)).message
    assert message is not None
    assert f"which is {how}" in message


async def test_a_failure_goes_down_the_whole_chain(world: World, worker: Worker) -> None:
    """Every job behind it fails in the same moment, and names the first to fail."""
    first = await world.submit(name="build")
    chain = [first]
    for _ in range(20):
        chain.append(await world.submit(**after(chain[-1])))

    await finish(worker, first, Outcome.FAILED)

    assert set(await states(world, chain)) == {S.FAILED}
    message = (await world.job(chain[-1].id)).message
    assert message is not None
    assert message.startswith(f"it needs {chain[-2].id}, which is failed (dependency_failed)")
    assert message.endswith(f"it needs {first.id} (build), which is failed (exit_nonzero)")
    later = await world.submit(**after(chain[-1]))
    assert later.state is S.FAILED


async def test_more_dependants_than_one_commit_looks_after_are_not_forgotten(
    world: World, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest follows by the upkeep, each of them once, whatever the server does in between."""
    monkeypatch.setattr("orchestrator.server.operations.changes.FAN_OUT", 2)
    parent = await world.submit()
    children = [await world.submit(**after(parent)) for _ in range(5)]
    chain = await world.submit(**after(children[0]))

    await finish(worker, parent, Outcome.FAILED)

    assert (await states(world, children)).count(S.FAILED) == 2
    assert await world.read(next_ring) == 0
    await world.restart()
    while await world.write(ring):
        pass
    assert set(await states(world, [*children, chain])) == {S.FAILED}
    for child in children:
        assert (await world.told(child.id)).count("finished") == 1
    assert await open_rows(world) == 0
    assert await world.read(next_ring) is None


async def test_what_a_job_depends_on_must_be_there(world: World) -> None:
    """An unknown job is refused by its place in the list, and nothing is stored."""
    parent, unknown = await world.submit(), world.id("job")

    with pytest.raises(RequestInvalid) as refusal:
        await world.submit(**after(parent, unknown))

    assert refusal.value.fields == (("depends_on.1.job", f"there is no job {unknown}"),)
    assert refusal.value.problem_code == "dependency_unknown"
    assert await open_rows(world) == 0


async def test_a_blocked_job_may_still_have_to_wait_for_its_moment(
    world: World, worker: Worker
) -> None:
    """When all is met it is scheduled, if its time has not come, and queued otherwise."""
    parent = await world.submit()
    run_at = moment(world.now_us + 60_000_000).isoformat()
    job = await world.submit(**after(parent), run_at=run_at)
    assert (job.state, job.pending_reason) == (S.BLOCKED, PendingReason.DEPENDENCIES)

    await finish(worker, parent)

    shown = await world.job(job.id)
    assert (shown.state, shown.pending_reason) == (S.SCHEDULED, PendingReason.NOT_BEFORE)
    await world.pass_time(61)
    assert (await world.job(job.id)).state is S.QUEUED


async def test_a_blocked_job_that_is_held_goes_back_to_where_it_belongs(
    world: World, worker: Worker
) -> None:
    """Let go while something is open it is blocked again; after that it is queued or scheduled."""
    parent = await world.submit()
    run_at = moment(world.now_us + 60_000_000).isoformat()
    jobs = [await world.submit(**after(parent)) for _ in range(2)]
    later = await world.submit(**after(parent), run_at=run_at)
    ids = [job.id for job in (*jobs, later)]
    await world.write(partial(hold, ids=ids, by="ada"))

    await world.write(partial(release, ids=ids[:1], by="ada"))

    assert await states(world, jobs) == [S.BLOCKED, S.HELD]
    await finish(worker, parent)
    assert await states(world, [*jobs, later]) == [S.QUEUED, S.HELD, S.HELD]
    await world.write(partial(release, ids=ids[1:], by="ada"))
    assert await states(world, [*jobs, later]) == [S.QUEUED, S.QUEUED, S.SCHEDULED]


async def test_a_job_whose_dependency_failed_while_it_was_held_fails_when_it_is_let_go(
    world: World, worker: Worker
) -> None:
    """Nothing happens to what is held, and nothing is forgotten either."""
    parent = await world.submit()
    job = await world.submit(**after(parent))
    await world.write(partial(hold, ids=[job.id], by="ada"))

    await finish(worker, parent, Outcome.FAILED)

    assert (await world.job(job.id)).state is S.HELD
    await world.write(partial(release, ids=[job.id], by="ada"))
    shown = await world.job(job.id)
    assert (shown.state, shown.reason) == (S.FAILED, Reason.DEPENDENCY_FAILED)
    assert shown.message is not None
    assert parent.id in shown.message
    assert await open_rows(world) == 0


async def test_a_repeated_job_waits_only_for_what_is_still_open(
    world: World, worker: Worker
) -> None:
    """What made the old one fail does not make the new one fail; the old ones stay as they are."""
    gone, still = await world.submit(), await world.submit()
    jobs = [await world.submit(**after(gone)), await world.submit(**after(gone, still))]
    await finish(worker, gone, Outcome.FAILED)

    again = [
        await world.write(
            partial(repeat, job_id=job.id, new_id=world.id("job"), owner="ada", spec=None)
        )
        for job in jobs
    ]

    assert [job.state for job in again] == [S.QUEUED, S.BLOCKED]
    assert await states(world, jobs) == [S.FAILED, S.FAILED]
    assert [one.job for one in (await explained(world, again[1])).dependencies] == [still.id]


async def test_a_cancelled_job_waits_for_nothing(world: World, worker: Worker) -> None:
    """What it was waiting for is forgotten with its end."""
    parent = await world.submit()
    job = await world.submit(**after(parent))

    await world.cancel(job.id)

    assert await open_rows(world) == 0
    await finish(worker, parent)
    assert (await world.job(job.id)).state is S.CANCELLED


def test_one_operation_looks_after_a_bounded_number() -> None:
    """The number is small enough for a commit that others wait for."""
    assert 0 < dependents.FAN_OUT <= 500
