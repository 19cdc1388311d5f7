"""Unique jobs: beside which no other with the same key is taken in, on each database."""

from typing import Any

import anyio
import pytest

from orchestrator.kernel.errors import AlreadyExists
from orchestrator.protocol.views import JobView
from orchestrator.protocol.words import JobState, Reason
from orchestrator.server.operations.repeat import repeat
from orchestrator.server.operations.submit import submit
from orchestrator.server.operations.unique import unique_key
from orchestrator.server.store.interface import Transaction
from tests.integration.store.world import Worker, World, ended, failed
from tests.support.builders import command, spec

KEY = {"key": "nightly"}


async def _jobs(world: World) -> list[tuple[str, str]]:
    rows = await world.read(lambda reader: reader.rows("SELECT id, state FROM job ORDER BY id"))
    return [(row["id"], row["state"]) for row in rows]


async def test_the_job_that_is_there_is_the_answer(world: World, worker: Worker) -> None:
    """A second submit makes nothing, as long as the first job is not over, whoever has it."""
    first = await world.submit(unique=KEY)
    queued = await world.submit(command("other"), unique=KEY)
    grant = await worker.claim_one()
    leased = await world.submit(unique=KEY)

    assert (first.existing, queued.existing, leased.existing) == (False, True, True)
    assert (queued.id, leased.id, leased.state) == (first.id, first.id, JobState.LEASED)
    assert await world.told(first.id) == ["submitted", "claimed"]

    await worker.tell(ended(grant))
    assert (await world.submit(unique=KEY)).id != first.id


async def test_a_refusal_names_the_job_that_is_in_the_way(world: World) -> None:
    """Nothing is stored, and the hint leads to what is there."""
    first = await world.submit(unique=KEY)

    with pytest.raises(AlreadyExists, match=first.id) as refused:
        await world.submit(unique={**KEY, "on_conflict": "refuse"})

    assert refused.value.problem_code == "unique_conflict"
    assert await _jobs(world) == [(first.id, "queued")]


async def test_what_has_not_begun_is_replaced_and_told_by_whom(
    world: World, worker: Worker
) -> None:
    """The older one is cancelled in the same commit; one that has begun is not."""
    asked = {**KEY, "on_conflict": "replace"}
    first = await world.submit(unique=asked)
    second = await world.submit(unique=asked)

    old = await world.job(first.id)
    assert (old.state, old.reason) == (JobState.CANCELLED, Reason.CANCELLED_BY_POLICY)
    assert old.message == f"replaced by {second.id}"
    assert await world.told(first.id) == ["submitted", "cancel_requested", "finished"]

    assert (await worker.claim_one()).job_id == second.id
    with pytest.raises(AlreadyExists, match=second.id):
        await world.submit(unique=asked)


async def test_a_submit_that_is_refused_after_all_replaces_nothing(world: World) -> None:
    """An operation that fails takes back what it did, also the cancel."""
    first = await world.submit(unique=KEY)

    with pytest.raises(Exception, match="not stored"):
        await world.submit(
            unique={**KEY, "on_conflict": "replace"},
            inputs=[{"file": "a" * 64, "name": "f"}],
        )

    assert await _jobs(world) == [(first.id, "queued")]


async def test_what_succeeded_counts_as_long_as_its_window(world: World, worker: Worker) -> None:
    """The window begins with the submit, and what failed is not in the way of a repeat."""
    asked = {**KEY, "window_s": 60}
    first = await world.submit(unique=asked)
    await worker.tell(ended(await worker.claim_one()))
    again = await world.submit(unique=asked)
    await world.pass_time(60)
    later = await world.submit(unique=asked)
    await worker.tell(failed(await worker.claim_one()))
    after_a_failure = await world.submit(unique=asked)

    assert (again.id, again.existing, again.state) == (first.id, True, JobState.SUCCEEDED)
    assert (later.existing, after_a_failure.existing) == (False, False)


async def test_only_the_states_of_the_scope_are_in_the_way(world: World, worker: Worker) -> None:
    """One may run and one may wait, but not two."""
    asked = {**KEY, "scope": ["scheduled", "queued"]}
    await world.submit(unique=asked)
    await worker.claim_one()
    waiting = await world.submit(unique=asked)
    third = await world.submit(unique=asked)

    assert (waiting.existing, third.id, third.existing) == (False, waiting.id, True)


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ({"params": {"shell": False, "argv": ["a", "b"]}}, True),
        ({"name": "another name", "priority": 5, "labels": {"a": "b"}}, True),
        ({"params": {"argv": ["b", "a"]}}, False),
        ({"env": {"A": "1"}}, False),
        ({"kind": "delay", "params": {"ms": 1}}, False),
    ],
)
def test_what_a_job_does_is_its_key(other: dict[str, Any], same: bool) -> None:
    """Kind, params, inputs and environment count; what it is called and how urgent it is do not."""
    asked = {"by": "params"}
    one = spec(command(params={"argv": ["a", "b"], "shell": False}), unique=asked)
    two = spec({**command("a", "b"), "params": {"argv": ["a", "b"], "shell": False}, **other})

    assert one.unique is not None
    assert (unique_key(one, one.unique) == unique_key(two, one.unique)) is same


async def test_a_repeat_is_a_submit_like_any_other(world: World, worker: Worker) -> None:
    """A job that is made once more is not made beside one with its key."""
    first = await world.submit(unique=KEY)
    await worker.tell(ended(await worker.claim_one()))
    second = await world.submit(unique=KEY)
    new = world.id("job")

    told = await world.write(lambda tx: repeat(tx, first.id, new_id=new, owner="ada", spec=None))

    assert (told.id, told.existing) == (second.id, True)


@pytest.mark.parametrize("how", ["return", "refuse", "replace"])
async def test_of_many_at_once_exactly_one_is_there(world: World, database: str, how: str) -> None:
    """Submits that meet find each other, also those of two servers of one database."""
    asked = spec(unique={**KEY, "on_conflict": how})
    answers: list[JobView | None] = []
    stores = [world.store]
    if database == "postgresql":
        stores.append(world._make(world.folder, world.clock))

    async def one(number: int) -> None:
        new = world.id("job")

        def operation(tx: Transaction) -> JobView:
            return submit(tx, job_id=new, owner="ada", spec=asked)

        try:
            answers.append(await stores[number % len(stores)].write(operation))
        except AlreadyExists:
            answers.append(None)

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(one, number)
    for store in stores[1:]:
        await store.aclose()

    found = await _jobs(world)
    made = [answer for answer in answers if answer is not None and not answer.existing]
    assert [state for _, state in found].count("queued") == 1
    assert len(made) == len(found) == (20 if how == "replace" else 1)
