"""Keeping jobs back, letting them go, and repeating them."""

from datetime import UTC, datetime
from functools import partial

import pytest

from orchestrator.kernel.errors import IllegalTransition, NotFound
from orchestrator.protocol.words import JobState, PendingReason
from orchestrator.server.facts import Claimable, Scheduled
from orchestrator.server.operations.explain import explain
from orchestrator.server.operations.hold import hold, release
from orchestrator.server.operations.repeat import repeat
from tests.integration.store.world import World, ended, failed
from tests.support.builders import command, spec


async def test_a_held_job_is_given_to_nobody_until_it_is_let_go(world: World) -> None:
    """It says that it is held, and by whom; let go, it starts, in the place that it had."""
    worker = await world.worker()
    first, second = await world.submit(), await world.submit()

    reply = await world.write(partial(hold, ids=[first.id], by="ada", comment="wait"))

    (shown,) = reply.items
    assert (shown.state, shown.pending_reason) == (JobState.HELD, PendingReason.HELD)
    told = await world.read(partial(explain, job_id=first.id))
    assert told is not None
    assert "keeps it back" in told.words
    assert [grant.job_id for grant in await worker.claim(2)] == [second.id]

    await world.write(partial(release, ids=[first.id], by="bob"))
    assert world.facts[-1] == Claimable(world.facts[-1].requirement_id, 1)  # type: ignore[union-attr]  # it is one
    (grant,) = await worker.claim(2)
    assert grant.job_id == first.id
    events = await world.events(first.id)
    assert [event.type for event in events[:3]] == ["submitted", "held", "released_by_user"]
    assert events[1].data == {"by": "ada", "comment": "wait"}


async def test_a_job_keeps_its_moment_while_it_is_held(world: World) -> None:
    """Let go early it waits for its time again; let go late it is due at once."""
    moment_s = world.clock.now() + 100
    at = datetime.fromtimestamp(moment_s, UTC).isoformat()
    early, late = await world.submit(run_at=at), await world.submit(run_at=at)
    await world.write(partial(hold, ids=[early.id, late.id], by="ada"))

    (again,) = (await world.write(partial(release, ids=[early.id], by="ada"))).items
    assert (again.state, again.pending_reason) == (JobState.SCHEDULED, PendingReason.NOT_BEFORE)
    assert Scheduled(round(moment_s * 1_000_000)) in world.facts
    await world.pass_time(110)
    assert (await world.job(early.id)).state is JobState.QUEUED
    assert (await world.job(late.id)).state is JobState.HELD

    (due,) = (await world.write(partial(release, ids=[late.id], by="ada"))).items
    assert due.state is JobState.QUEUED


async def test_many_are_held_and_each_refusal_is_told(world: World) -> None:
    """What runs, is over or is not there is refused by itself; the others are held, once."""
    worker = await world.worker()
    running, done = await worker.running(), await worker.running()
    await worker.tell(ended(done))
    waits, nobody = await world.submit(), world.id("job")
    ids = [running.job_id, done.job_id, nobody, waits.id, waits.id]

    reply = await world.write(partial(hold, ids=ids, by="ada"))
    again = await world.write(partial(hold, ids=[waits.id], by="ada"))

    assert [job.id for job in reply.items] == [waits.id]
    assert [(one.id, one.code) for one in reply.refused] == [
        (running.job_id, "not_waiting"),
        (done.job_id, "not_waiting"),
        (nobody, "not_found"),
    ]
    assert reply.refused[0].detail.startswith("it is running; only a job that has not begun")
    assert again.items == reply.items
    assert (await world.told(waits.id)).count("held") == 1


async def test_what_is_not_held_is_not_let_go(world: World) -> None:
    """Somebody who lets the wrong job go is told so, and nothing is written."""
    waits = await world.submit()

    reply = await world.write(partial(release, ids=[waits.id], by="ada"))

    assert reply.items == []
    ((refused),) = reply.refused
    assert (refused.id, refused.code) == (waits.id, "not_held")
    assert refused.detail == "it is queued; only a held job can be let go"
    assert await world.told(waits.id) == ["submitted"]


async def test_a_held_job_can_be_cancelled(world: World) -> None:
    """Nothing of it runs, so it is over at once."""
    job = await world.submit()
    await world.write(partial(hold, ids=[job.id], by="ada"))

    assert (await world.cancel(job.id)).state is JobState.CANCELLED


async def test_a_finished_job_is_repeated_as_a_new_one(world: World) -> None:
    """The new job asks for the same and names the old one, which stays what it was."""
    worker = await world.worker()
    old = await worker.running(name="nightly", env={"MODE": "slow"})
    await worker.tell(failed(old))
    new_id = world.id("job")

    new = await world.write(
        partial(repeat, job_id=old.job_id, new_id=new_id, owner="bob", spec=None)
    )

    assert (new.id, new.retry_of, new.name, new.owner) == (new_id, old.job_id, "nightly", "bob")
    assert (await world.job(new_id)).spec == (await world.job(old.job_id)).spec
    assert (await world.job(old.job_id)).state is JobState.FAILED
    assert (await world.events(new_id))[0].data == {"owner": "bob", "retry_of": old.job_id}
    assert (await worker.claim_one()).env == {"MODE": "slow"}


async def test_a_repetition_may_ask_for_something_else(world: World) -> None:
    """What is changed is changed for the new job alone."""
    worker = await world.worker()
    old = await worker.running()
    await worker.tell(failed(old))
    changed = spec(command("make", "test"), timeout_s=5)
    new_id = world.id("job")

    await world.write(partial(repeat, job_id=old.job_id, new_id=new_id, owner="b", spec=changed))

    assert (await world.job(new_id)).spec["params"]["argv"] == ["make", "test"]
    assert (await world.job(old.job_id)).spec["params"]["argv"] == ["true"]


async def test_what_is_not_over_is_not_repeated(world: World) -> None:
    """A job that runs is refused, and one that is not there."""
    worker = await world.worker()
    runs = await worker.running()

    with pytest.raises(IllegalTransition, match="only what is over"):
        await world.write(
            partial(repeat, job_id=runs.job_id, new_id=world.id("job"), owner="b", spec=None)
        )
    with pytest.raises(NotFound):
        await world.write(
            partial(repeat, job_id=world.id("job"), new_id=world.id("job"), owner="b", spec=None)
        )
