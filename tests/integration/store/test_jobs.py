"""Looking at jobs: one, a page of many, a timeline."""

from functools import partial
from typing import Any

import pytest

from orchestrator.core.job_filter import JobFilter, parse
from orchestrator.protocol.views import JobView
from orchestrator.protocol.words import JobState
from orchestrator.server.operations.job_lists import Cursor, find_jobs, list_jobs
from orchestrator.server.operations.jobs import get_job, list_events, view_job
from orchestrator.server.store.interface import Reader, Value
from tests.integration.store.world import World, ended, failed
from tests.support.builders import command, delay


async def pages(world: World, wanted: JobFilter, limit: int) -> list[list[JobView]]:
    """Return every page of a list."""
    found: list[list[JobView]] = []
    cursor: Cursor | None = None
    while True:
        page, cursor = await world.read(
            partial(list_jobs, wanted=wanted, cursor=cursor, limit=limit)
        )
        found.append(page)
        if cursor is None:
            return found


async def ids(world: World, wanted: JobFilter) -> list[str]:
    """Return the ids of a list's first page."""
    (page,) = await pages(world, wanted, 500)
    return [job.id for job in page]


async def test_the_newest_jobs_come_first(world: World) -> None:
    """A list goes back in time, page by page, without gap or repetition."""
    jobs = [(await world.submit()).id for _ in range(7)]

    found = await pages(world, JobFilter(), 3)

    assert [len(page) for page in found] == [3, 3, 1]
    assert [job.id for page in found for job in page] == jobs[::-1]


async def test_a_page_that_is_just_full_is_the_last(world: World) -> None:
    """No cursor leads to an empty page."""
    for _ in range(4):
        await world.submit()

    assert [len(page) for page in await pages(world, JobFilter(), 2)] == [2, 2]


async def test_new_jobs_do_not_shift_pages(world: World) -> None:
    """What is submitted while somebody pages appears on no later page."""
    old = [(await world.submit()).id for _ in range(4)]
    first, cursor = await world.read(lambda r: list_jobs(r, JobFilter(), cursor=None, limit=2))
    await world.submit()

    second, _ = await world.read(lambda r: list_jobs(r, JobFilter(), cursor=cursor, limit=2))

    assert [job.id for job in [*first, *second]] == old[::-1]


async def test_jobs_are_found_by_state(world: World) -> None:
    """One or several states may be asked for."""
    worker = await world.worker()
    running = await worker.running()
    done = await worker.running()
    await worker.tell(ended(done))
    queued = (await world.submit()).id

    both = frozenset({JobState.QUEUED, JobState.RUNNING})
    assert await ids(world, JobFilter(states=both)) == [queued, running.job_id]
    assert await ids(world, JobFilter(states=frozenset({JobState.SUCCEEDED}))) == [done.job_id]
    assert await ids(world, JobFilter(states=frozenset({JobState.EXPIRED}))) == []


async def test_jobs_are_found_by_kind_and_name(world: World) -> None:
    """Conditions are joined: all of them hold."""
    one = (await world.submit(delay(), name="a")).id
    await world.submit(command(), name="a")
    await world.submit(delay(), name="b")

    assert await ids(world, JobFilter(kinds=frozenset({"delay"}), names=frozenset({"a"}))) == [one]
    assert await ids(world, JobFilter(names=frozenset({"A"}))) == []


LABELS = [
    {"team": "red"},
    {"a": "1", "team": "red", "z": "9"},
    {"team": "Red"},
    {"team": "redder"},
    {"xteam": "red"},
    {"note": '"team":"red"'},
    {"note": ',"team":"red"'},
    {'x"team': "red"},
    {},
]


async def test_jobs_are_found_by_label(world: World) -> None:
    """A label is matched as a whole, whatever other labels hold that looks like it."""
    jobs = [(await world.submit(labels=labels)).id for labels in LABELS]

    assert await ids(world, JobFilter(labels=frozenset({("team", "red")}))) == [jobs[1], jobs[0]]


@pytest.mark.parametrize("value", ["100%", "under_score", 'quo"te', "back\\slash", "ünï", "'"])
async def test_odd_labels_are_found_too(world: World, value: str) -> None:
    """No character has a meaning of its own."""
    job = await world.submit(labels={"k": value})
    await world.submit(labels={"k": "other"})

    assert await ids(world, JobFilter(labels=frozenset({("k", value)}))) == [job.id]


async def test_a_list_says_why_queued_jobs_wait(world: World) -> None:
    """Each queued job of a page has its own reason."""
    await world.worker(tags=["a"])
    await world.submit(requires={"tags": ["a"]})
    await world.submit(requires={"tags": ["b"]})

    (page,) = await pages(world, JobFilter(), 10)

    assert [job.pending_reason for job in page] == ["no_worker_matches", "starting"]


async def test_one_job_is_the_same_everywhere(world: World) -> None:
    """The list, the short and the long view agree."""
    worker = await world.worker()
    grant = await worker.running(name="x", labels={"a": "b"})
    await worker.tell(ended(grant, result={"n": 1}))

    ((listed,),) = await pages(world, JobFilter(), 10)
    short = await world.read(lambda r: view_job(r, grant.job_id))

    assert short == listed
    assert (await world.job(grant.job_id)).model_dump(exclude={"spec", "attempts"}) == (
        listed.model_dump()
    )


async def test_what_is_not_there_is_nothing(world: World) -> None:
    """An unknown id has no job and no timeline."""
    unknown = world.id("job")

    assert await world.read(lambda r: get_job(r, unknown)) is None
    assert await world.read(lambda r: view_job(r, unknown)) is None
    assert await world.read(lambda r: list_events(r, unknown, after=0, limit=9)) == []


async def test_a_timeline_is_read_in_pieces(world: World) -> None:
    """Whoever names the last line that it saw gets the lines behind it."""
    worker = await world.worker()
    grant = await worker.running()
    await worker.tell(ended(grant))

    first = await world.read(lambda r: list_events(r, grant.job_id, after=0, limit=2))
    rest = await world.read(lambda r: list_events(r, grant.job_id, after=2, limit=9))

    assert [event.seq for event in first] == [1, 2]
    assert [event.seq for event in rest] == [3, 4, 5]
    assert rest[1].data == {"outcome": "succeeded"}
    assert rest[2].data == {"state": "succeeded"}


async def test_a_filter_means_the_jobs_that_it_says(world: World) -> None:
    """Every key of the language, against jobs that differ in one thing each."""
    worker = await world.worker("atlas")
    done = await worker.running(**command("make", "All"), name="build")
    await worker.tell(ended(done))
    bad = await worker.running(**command("false"), labels={"team": "web", "k": "v"})
    await worker.tell(failed(bad))
    world.clock.seconds += 7200
    tagged = (await world.submit(requires={"tags": ["gpu", "big"]})).id
    named = (await world.submit(delay(), name="build", labels={"team": "ops"})).id
    everything = [named, tagged, bad.job_id, done.job_id]

    async def means(text: str) -> list[str]:
        return await ids(world, parse(text, now_us=world.now_us))

    assert await means("") == everything
    assert await means("state:failed,succeeded") == [bad.job_id, done.job_id]
    assert await means("name:build") == [named, done.job_id]
    assert await means("name:build state:queued") == [named]
    assert await means("worker:atlas,nobody") == [bad.job_id, done.job_id]
    assert await means("kind:delay,none") == [named]
    assert await means("label:team") == [named, bad.job_id]
    assert await means("label:team=web label:k=v") == [bad.job_id]
    assert await means("label:tea") == []
    assert await means("tag:gpu,big") == [tagged]
    assert await means("tag:gp") == []
    assert await means("reason:exit_nonzero owner:ada") == [bad.job_id]
    assert await means("mAKE") == [done.job_id]
    assert await means("Build") == [named, done.job_id]
    assert await means(f"id:{tagged},{named}") == [named, tagged]
    assert await means(named) == [named]
    assert await means("created:<1h") == [named, tagged]
    assert await means("created:>1h") == [bad.job_id, done.job_id]
    assert await means("created:<999999999w") == everything
    assert await means("created:>999999999w") == []
    assert await means("finished:<3h") == [bad.job_id, done.job_id]
    assert await means("finished:<1h") == []


@pytest.mark.parametrize("oldest_first", [False, True])
async def test_a_page_looks_at_a_bounded_stretch_of_jobs(
    world: World, *, oldest_first: bool
) -> None:
    """What no index finds comes in pages that may be empty, none is missed, and the end is told."""
    jobs = [await world.submit(delay(labels={"n": str(n % 5)})) for n in range(12)]
    wanted = [parse("label:n=3 state:queued,held", now_us=0)]
    pages: list[list[str]] = []
    cursor: Cursor | None = None

    while True:
        page = await world.read(
            lambda reader, cursor=cursor: find_jobs(  # type: ignore[misc]  # bound now
                reader, wanted, cursor=cursor, limit=5, oldest_first=oldest_first, scanned=2
            )
        )
        pages.append(page.ids)
        cursor = page.following
        if cursor is None:
            break

    assert [] in pages
    assert 6 <= len(pages) <= 7
    found = [job_id for page in pages for job_id in page]
    expected = [jobs[3].id, jobs[8].id]
    assert found == (expected if oldest_first else expected[::-1])


class Explaining:
    """A reader that remembers how the database was going to find each answer."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.plans: list[str] = []

    def tuples(self, sql: str, **params: Value) -> list[tuple[Any, ...]]:
        """Return the rows, and keep the plan."""
        told = self._reader.tuples(f"EXPLAIN QUERY PLAN {sql}", **params)
        self.plans.append("; ".join(row[-1] for row in told))
        return self._reader.tuples(sql, **params)


@pytest.mark.parametrize("oldest_first", [False, True])
@pytest.mark.parametrize(
    ("text", "way"),
    [
        ("", "PRIMARY KEY (id>? AND id<?)"),
        ("state:failed", "job_by_state (state=? AND id>? AND id<?)"),
        ("state:failed,queued kind:command", "job_by_state (state=? AND id>? AND id<?)"),
        ("name:build label:team=web", "job_by_name (name=? AND id>? AND id<?)"),
        ("group:0011223344556677", "job_by_fingerprint (fingerprint=? AND id>? AND id<?)"),
        ("worker:atlas created:<2h text", "PRIMARY KEY (id>? AND id<?)"),
        ("tag:gpu kind:command", "PRIMARY KEY (id>? AND id<?)"),
    ],
)
async def test_a_page_is_read_in_order_between_two_ids(
    world: World, database: str, text: str, way: str, *, oldest_first: bool
) -> None:
    """No filter lets the database sort, or begin at one end of all jobs and walk to the other."""
    if database != "sqlite":
        pytest.skip("plans of an empty PostgreSQL say nothing")
    await world.submit()
    wanted = [parse(text, now_us=world.now_us)]

    def plans(reader: Reader) -> list[str]:
        explaining = Explaining(reader)
        find_jobs(
            explaining,  # type: ignore[arg-type]  # it only reads tuples
            wanted,
            cursor=Cursor("job_" + "0" * 26) if oldest_first else None,
            limit=50,
            oldest_first=oldest_first,
        )
        return explaining.plans

    found = await world.read(plans)
    assert found
    for plan in found:
        assert way in plan.partition(";")[0]
        assert "TEMP B-TREE" not in plan
