"""Failed jobs are told apart by what they have in common, and counted."""

from functools import partial

from orchestrator.core.job_filter import JobFilter
from orchestrator.protocol.frames import FrameType
from orchestrator.protocol.views import DeadLetters
from orchestrator.protocol.words import Outcome, Reason
from orchestrator.server.operations.dead_letters import _SELECT_DEAD, list_dead
from orchestrator.server.operations.job_lists import list_jobs
from orchestrator.server.store.interface import Reader
from tests.integration.store.world import (
    Worker,
    World,
    digest,
    ended,
    failed,
    output,
    printed,
    started,
)
from tests.support.builders import command


async def _dead(world: World, limit: int = 50) -> list[DeadLetters]:
    return await world.read(partial(list_dead, limit=limit))


async def _fails(worker: Worker, said: bytes, exit_code: int = 1, **job: object) -> str:
    grant = await worker.running(**job)
    data = printed(said, stream=FrameType.ERR)
    end = failed(grant, exit_code, output_length=len(data), output_digest=digest(data))
    await worker.report(output(grant, data), end)
    return grant.job_id


async def test_jobs_that_fail_for_one_reason_are_one_group(world: World) -> None:
    """The same last words but for their numbers: counted together, the newest named."""
    worker = await world.worker()
    first = await _fails(worker, b"starting\nno route to 10.0.0.1:80\n\n")
    other = await _fails(worker, b"starting\nout of paper\n")
    newest = await _fails(worker, b"no route to 10.9.9.9:8080")

    groups = await _dead(world)

    assert [(group.jobs, group.newest_id) for group in groups] == [(2, newest), (1, other)]
    assert [group.last_words for group in groups] == ["no route to #", "out of paper"]
    assert (groups[0].kind, groups[0].reason) == ("command", Reason.EXIT_NONZERO)
    assert groups[0].first_at == (await world.job(first)).finished_at
    assert [group.newest_id for group in await _dead(world, 1)] == [newest]


async def test_the_jobs_of_a_group_are_listed(world: World) -> None:
    """Whoever looks at a group sees its jobs, the newest first, and no others."""
    worker = await world.worker()
    ids = [await _fails(worker, b"no route to %d" % number) for number in range(2)]
    await _fails(worker, b"out of paper")
    group = (await _dead(world))[1]

    wanted = JobFilter(fingerprints=frozenset({group.fingerprint}))
    found, _ = await world.read(partial(list_jobs, wanted=wanted, cursor=None, limit=10))

    assert [job.id for job in found] == ids[::-1]


async def test_the_last_words_are_what_the_job_wrote(world: World) -> None:
    """Without stderr, the last line of stdout: never the command, which is shown beside it."""
    worker = await world.worker()
    await world.submit(command("make", "all"))
    grant = await worker.claim_one()
    data = printed(b"compiling\nno rule to make it\n", stream=FrameType.OUT)
    end = failed(grant, 2, output_length=len(data), output_digest=digest(data))
    await worker.report(started(grant), output(grant, data), end)

    (group,) = await _dead(world)

    assert (group.last_words, group.summary) == ("no rule to make it", "make all")


async def test_a_job_without_words_is_known_by_its_command(world: World) -> None:
    """No stderr: jobs of one command are one group, those of another are another."""
    worker = await world.worker()
    for argv in (["backup", "--day", "7"], ["backup", "--day", "31"], ["restore"]):
        await world.submit(command(*argv))
        grant = await worker.claim_one()
        await worker.tell(ended(grant, Outcome.TIMED_OUT, reason=Reason.TIMEOUT_RUN))

    groups = await _dead(world)

    assert [(group.jobs, group.summary) for group in groups] == [
        (1, "restore"),
        (2, "backup --day 31"),
    ]
    assert {group.last_words for group in groups} == {""}


async def test_a_command_of_any_length_is_known_by_its_beginning(world: World) -> None:
    """Two long commands that begin in one way are one group."""
    worker = await world.worker()
    for last in ("north", "south"):
        await world.submit(command("sync", *(["--all"] * 2000), last))
        grant = await worker.claim_one()
        await worker.tell(ended(grant, Outcome.TIMED_OUT, reason=Reason.TIMEOUT_RUN))

    (group,) = await _dead(world)

    assert group.jobs == 2
    assert group.summary.startswith("sync --all --all")


async def test_dead_jobs_are_counted_without_a_look_at_the_jobs(
    world: World, database: str
) -> None:
    """Half a million failed jobs are counted in an index, which has all that is asked for."""
    sql = _SELECT_DEAD.replace(":limit", "50")

    def plan(reader: Reader) -> list[str]:
        if database == "sqlite":
            return [row[-1] for row in reader.tuples(f"EXPLAIN QUERY PLAN {sql}")]
        for way in ("seqscan", "bitmapscan"):  # what is cheapest for an empty table
            reader.rows(f"SET LOCAL enable_{way} = off")
        return [row[0] for row in reader.tuples(f"EXPLAIN {sql}")]

    told = " ".join(await world.read(plan))

    only = "USING COVERING INDEX" if database == "sqlite" else "Index Only Scan using"
    assert f"{only} job_by_fingerprint" in told


async def test_only_what_failed_for_good_is_dead(world: World) -> None:
    """Success, cancel, and a failure that is tried again are no dead letters; poison is one."""
    worker = await world.worker()
    good, gone = await worker.running(), await worker.running()
    await world.cancel(gone.job_id)
    again = await worker.running(retry={"max_attempts": 2})
    await worker.report(ended(good), ended(gone, Outcome.CANCELLED), failed(again))
    assert await _dead(world) == []

    await worker.running(max_lost=0)
    await world.pass_time(80)

    (group,) = await _dead(world)
    assert (group.reason, group.summary) == (Reason.WORKER_LOST, "true")
