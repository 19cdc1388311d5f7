"""Lines, queues and limits: who waits for what, who is let through, and who is told."""

from functools import partial
from typing import Any

import pytest

from orchestrator.kernel.errors import (
    IllegalTransition,
    NotClaimable,
    NotFound,
    Refused,
    RequestInvalid,
)
from orchestrator.protocol.queues import QueueSettings
from orchestrator.protocol.words import JobState, PendingReason, Reason
from orchestrator.server.facts import Claimable, OrderPending, Scheduled
from orchestrator.server.operations.explain import explain
from orchestrator.server.operations.queues import (
    delete_queue,
    get_queue,
    list_queues,
    pause_queue,
    resume_queue,
    set_queue,
)
from orchestrator.server.operations.upkeep import next_due, queue_due
from orchestrator.server.store.interface import Reader
from tests.integration.store.world import Worker, World, ended, released, started


def key(name: str, limit: int = 1, **more: Any) -> dict[str, Any]:
    """Return the fields of a job that holds a key."""
    return {"concurrency": [{"key": name, "limit": limit, **more}]}


def rate(name: str, count: int, per_s: float) -> dict[str, Any]:
    """Return the fields of a job with a rate."""
    return {"rate_limit": [{"key": name, "count": count, "per_s": per_s}]}


async def make(world: World, name: str, **fields: Any) -> None:
    """Make or change a queue."""
    await world.write(partial(set_queue, name=name, asked=QueueSettings(**fields)))


async def why(world: World, job_id: str) -> tuple[PendingReason | None, str]:
    """Return why a job is not running: the word, the same everywhere, and the sentence."""
    found = await world.read(lambda reader: explain(reader, job_id))
    shown = await world.job(job_id)
    assert found is not None
    assert found.pending_reason is shown.pending_reason
    return found.pending_reason, found.words


def called_out(world: World) -> int:
    """Return how many jobs were called out since the last look."""
    count = sum(fact.count for fact in world.facts if isinstance(fact, Claimable))
    world.facts.clear()
    return count


async def names(worker: Worker, slots: int = 8) -> list[str | None]:
    """Claim, and return the names of the jobs."""
    return [grant.name for grant in await worker.claim(slots)]


async def hints_are_true(world: World) -> None:
    """No line in which a job is queued says that nobody waits in it."""
    false = "SELECT id FROM line WHERE waiting = 0 AND id IN ({})".format(
        "SELECT line_id FROM job WHERE state = 'queued'"
    )
    assert await world.read(lambda reader: reader.tuples(false)) == []


async def test_a_key_lets_one_run_and_the_next_after_it(world: World) -> None:
    """Of two jobs with a key the second waits, says for whom, and is called out after the first."""
    worker = await world.worker()
    first, second = [await world.submit(name=name, **key("deploy")) for name in ("one", "two")]
    (grant,) = await worker.claim(8)
    assert grant.job_id == first.id
    assert await worker.claim(8) == []
    reason, words = await why(world, second.id)
    assert reason is PendingReason.CONCURRENCY_KEY
    assert first.id in words
    called_out(world)

    await worker.report(started(grant), ended(grant))

    assert called_out(world) == 1
    assert await names(worker) == ["two"]


@pytest.mark.parametrize("how", ["released", "cancelled", "lost"])
async def test_a_key_is_free_however_its_holder_goes(world: World, how: str) -> None:
    """Nothing is a stored counter: whatever ends an attempt frees its key, and calls out."""
    worker = await world.worker()
    await world.submit(name="one", **key("k"), max_lost=0)
    (grant,) = await worker.claim(8)
    await world.submit(name="two", **key("k"), priority=5)
    assert await worker.claim(8) == []
    called_out(world)

    if how == "released":
        await worker.tell(released(grant))
    elif how == "cancelled":
        await world.cancel(grant.job_id)
        assert await worker.claim(8) == []  # its processes are not gone
        await worker.tell(ended(grant))
    else:
        await world.pass_time(70)
        await worker.connect()

    assert called_out(world) >= 1
    assert await names(worker) == ["two"]


async def test_a_taken_key_holds_up_nobody_else(world: World) -> None:
    """A blocked job of high priority never keeps a worker from what is behind it."""
    worker = await world.worker()
    await world.submit(name="holds", **key("k"))
    assert await names(worker, 1) == ["holds"]
    await world.submit(name="blocked", **key("k"), priority=100)
    await world.submit(name="free", priority=-100)

    assert await names(worker, 1) == ["free"]


async def test_keys_are_shared_by_jobs_that_differ_in_all_else(world: World) -> None:
    """A key is one, whatever queue, owner, tags or second key its jobs have."""
    worker = await world.worker(tags=["a"])
    await make(world, "other")
    both = [{"key": "k"}, {"key": "mine", "limit": 5}]
    await world.submit(name="one", concurrency=both)
    await world.submit(name="two", **key("k"), queue="other", requires={"tags": ["a"]})
    (grant,) = await worker.claim(8)
    world.facts.clear()

    await worker.report(ended(grant))

    wanted = await world.read(
        lambda reader: reader.tuples("SELECT requirement_id FROM job WHERE name = 'two'")
    )
    assert Claimable(wanted[0][0], 1) in world.facts
    assert len(await worker.claim(8)) == 1


async def test_a_new_job_may_be_refused_when_its_key_is_taken(world: World) -> None:
    """With `refuse` nothing waits: the answer names the key, its limit and who holds it."""
    refuse = key("k", 2, strategy="refuse")
    first, _ = await world.submit(**refuse), await world.submit(**refuse)

    with pytest.raises(Refused, match=f"the key k is taken: 2 of 2 by {first.id}") as told:
        await world.submit(**refuse)

    assert told.value.problem_code == "concurrency_key_taken"
    await world.cancel(first.id)
    assert (await world.submit(**refuse)).state is JobState.QUEUED


async def test_older_jobs_give_way_to_a_new_one_that_asks_for_it(world: World) -> None:
    """With `cancel_running` what waits is cancelled, what runs is ended, then the new one runs."""
    worker = await world.worker()
    runs = await worker.running(**key("k"))
    waits = await world.submit(**key("k"))
    world.facts.clear()

    new = await world.submit(name="new", **key("k", strategy="cancel_running"))

    assert OrderPending(worker.session) in world.facts
    assert (await world.job(waits.id)).state is JobState.CANCELLED
    assert (await world.job(runs.job_id)).state is JobState.CANCELLING
    assert await worker.claim(8) == []
    await worker.tell(ended(runs))
    for gone in (waits.id, runs.job_id):
        assert (await world.job(gone)).reason is Reason.CANCELLED_BY_POLICY
    assert [grant.job_id for grant in await worker.claim(8)] == [new.id]


async def test_only_as_many_give_way_as_have_to(world: World) -> None:
    """Where two may run, the oldest goes and the other stays."""
    jobs = [await world.submit(**key("k", 2)) for _ in range(2)]

    await world.submit(**key("k", 2, strategy="cancel_running"))

    states = [(await world.job(job.id)).state for job in jobs]
    assert states == [JobState.CANCELLED, JobState.QUEUED]


async def test_a_rate_lets_so_many_start_in_a_window(world: World) -> None:
    """The third of two in ten seconds waits until the first start is ten seconds old."""
    worker = await world.worker()
    jobs = [await world.submit(name=f"{i}", **rate("api", 2, 10)) for i in range(4)]
    assert await names(worker) == ["0", "1"]
    reason, words = await why(world, jobs[2].id)
    assert reason is PendingReason.RATE_LIMIT
    assert "the next one may start at" in words
    due = await world.read(next_due)
    assert due == world.now_us + 10_000_000
    assert Scheduled(due) in world.facts
    world.facts.clear()
    await world.pass_time(9)
    assert await worker.claim(8) == []

    await world.pass_time(1)

    await world.write(queue_due)
    assert called_out(world) >= 2
    assert await names(worker) == ["2", "3"]


async def test_what_was_given_back_unstarted_counts_in_no_rate(world: World) -> None:
    """A start that did not take place leaves its room to another one."""
    worker = await world.worker()
    await world.submit(**rate("api", 1, 1000))
    (grant,) = await worker.claim(8)
    await worker.tell(released(grant))

    assert len(await worker.claim(8)) == 1


async def test_a_clock_that_was_set_back_blocks_no_rate_for_long(world: World) -> None:
    """Starts that lie further ahead than a window are not waited for."""
    worker = await world.worker()
    await world.submit(**rate("api", 1, 60))
    assert len(await worker.claim()) == 1
    world.clock.seconds -= 3600

    await world.submit(**rate("api", 1, 60))

    assert len(await worker.claim()) == 1


async def test_a_paused_queue_gives_nothing_and_says_who_paused_it(world: World) -> None:
    """Pausing stops nothing that runs; resuming calls out what waits."""
    worker = await world.worker()
    grant = await worker.running()
    job = await world.submit(name="waits")
    await world.write(partial(pause_queue, name="default", by="eve", why="deploying"))
    assert await worker.claim(8) == []
    reason, words = await why(world, job.id)
    assert reason is PendingReason.QUEUE_PAUSED
    assert "by eve (deploying)" in words
    assert (await world.job(grant.job_id)).state is JobState.RUNNING
    called_out(world)

    await world.write(partial(resume_queue, name="default"))

    assert called_out(world) > 0
    assert await names(worker) == ["waits"]


async def test_a_queue_runs_no_more_than_it_may(world: World) -> None:
    """The limit of a queue counts its attempts; its end, or a higher limit, lets others through."""
    worker = await world.worker()
    await make(world, "db", max_running=1)
    one, two, _ = [await world.submit(name=f"{i}", queue="db") for i in range(3)]
    await world.submit(name="elsewhere")
    grants = await worker.claim(8)
    assert {grant.name for grant in grants} == {"0", "elsewhere"}
    reason, words = await why(world, two.id)
    assert reason is PendingReason.QUEUE_LIMIT
    assert one.id in words
    called_out(world)

    await worker.report(*(ended(grant) for grant in grants if grant.name == "0"))
    assert called_out(world) == 1
    assert await names(worker) == ["1"]
    await make(world, "db", max_running=2)
    assert called_out(world) > 0
    assert await names(worker) == ["2"]


async def test_owners_take_turns(world: World) -> None:
    """A flood under one fairness key is passed by whoever comes with another one."""
    worker = await world.worker()
    for _ in range(6):
        await world.submit(name="flood", fairness_key="a")
    for _ in range(2):
        await world.submit(name="late", fairness_key="b")

    given = [(await worker.claim_one()).name for _ in range(6)]

    assert given == ["flood", "late", "flood", "late", "flood", "flood"]


async def test_queues_are_served_by_their_weights(world: World) -> None:
    """A queue of weight 3 is given three jobs for each one of another."""
    worker = await world.worker()
    await make(world, "big", weight=3)
    for _ in range(8):
        await world.submit(name="big", queue="big")
        await world.submit(name="small")

    given = [(await worker.claim_one()).name for _ in range(8)]

    assert given.count("big") == 6


async def test_a_job_takes_what_its_queue_gives_and_it_does_not_say(world: World) -> None:
    """Defaults of a queue go into the job when it comes; what the job says itself stays."""
    retry = {"max_attempts": 4}
    await make(world, "slow", defaults={"priority": -50, "timeout_s": 9.0, "retry": retry})

    job = await world.submit(queue="slow", timeout_s=5)
    once = await world.submit(queue="slow", execution="at_most_once")

    spec = (await world.job(job.id)).spec
    assert (spec["priority"], spec["timeout_s"], spec["retry"]["max_attempts"]) == (-50, 5, 4)
    assert (await world.job(once.id)).spec["retry"]["max_attempts"] == 1
    await make(world, "slow", defaults={"retry": None})
    queue = await world.read(partial(get_queue, name="slow"))
    assert queue.defaults == {"priority": -50, "timeout_s": 9.0}


async def test_an_unknown_queue_is_refused_with_the_known_ones(world: World) -> None:
    """A typing mistake makes no queue that nobody serves."""
    await make(world, "nightly")

    with pytest.raises(RequestInvalid, match="there is no queue nigthly") as told:
        await world.submit(queue="nigthly")

    assert told.value.problem_code == "queue_unknown"
    assert told.value.hint is not None
    assert "default, nightly" in told.value.hint


async def test_a_queue_is_made_shown_and_deleted(world: World) -> None:
    """What is said of a queue is shown; it goes when no job of it is left that is not over."""
    await make(world, "q", weight=2, max_running=5)
    await make(world, "q", weight=7)
    job = await world.submit(queue="q")

    shown = {one.name: one for one in await world.read(list_queues)}

    assert sorted(shown) == ["default", "q"]
    queue = shown["q"]
    assert (queue.weight, queue.max_running, queue.queued, queue.running) == (7, 5, 1, 0)
    with pytest.raises(IllegalTransition, match=job.id):
        await world.write(partial(delete_queue, name="q"))
    with pytest.raises(IllegalTransition, match="the default queue stays"):
        await world.write(partial(delete_queue, name="default"))
    await world.cancel(job.id)
    await world.write(partial(delete_queue, name="q"))
    with pytest.raises(NotFound, match="there is no queue q"):
        await world.write(partial(pause_queue, name="q", by="eve", why=None))


@pytest.mark.parametrize("gate", ["paused", "key"])
async def test_a_wished_job_minds_the_gates(world: World, gate: str) -> None:
    """Who asks for one job by its id is told what keeps it back from everybody."""
    worker = await world.worker()
    await world.submit(**key("k"))
    job = await world.submit(**key("k"))
    await worker.claim()
    if gate == "paused":
        await world.write(partial(pause_queue, name="default", by="eve", why=None))
    words = {"paused": "the queue default is paused", "key": "the key k is held 1 of 1 times"}

    with pytest.raises(NotClaimable, match=words[gate]):
        await worker.claim(job_id=job.id)


async def test_lines_that_were_found_empty_are_left_alone(world: World) -> None:
    """A claim that finds many lines empty says so, and a job that comes into one is found again."""
    worker = await world.worker()
    for number in range(20):
        await world.submit(fairness_key=f"key-{number}")
    assert len(await worker.claim(64)) == 20
    assert await worker.claim(64) == []
    waiting = await world.read(_waiting)
    assert waiting == 0

    await world.submit(name="again", fairness_key="key-7")

    await hints_are_true(world)
    assert await names(worker) == ["again"]


async def test_a_job_that_comes_back_is_found_in_its_line(world: World) -> None:
    """Jobs that were released, lost or tried again wait in a line that says so."""
    worker = await world.worker()
    for number in range(20):
        await world.submit(fairness_key=f"key-{number}")
    grants = await worker.claim(64)
    assert await worker.claim(64) == []

    await worker.report(*map(released, grants))

    await hints_are_true(world)
    assert len(await worker.claim(64)) == 20


def _waiting(reader: Reader) -> int:
    return int(reader.tuples("SELECT count(*) FROM line WHERE waiting = 1")[0][0])
