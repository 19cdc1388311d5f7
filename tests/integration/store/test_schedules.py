"""Schedules on a database: each instant once, whatever happens, and nothing of it silent."""

from datetime import UTC, datetime

import pytest

from orchestrator.kernel.errors import IllegalTransition
from orchestrator.protocol.words import FireOutcome, FireReason, JobState
from orchestrator.server.facts import Scheduled
from orchestrator.server.operations import schedules
from orchestrator.server.operations.upkeep import next_due
from tests.integration.store.scheduling import FIRED, HOUR_S, MISSED, SKIPPED, Bench
from tests.integration.store.world import EPOCH_S, World, ended, started
from tests.support.builders import command


async def test_a_moment_fires_once(world: World, bench: Bench) -> None:
    """At its moment its job is there, once, and the next moment is known; not before."""
    shown = await bench.add(job=command("make"), zone="Europe/Berlin")

    assert shown.next_at == datetime.fromtimestamp(EPOCH_S + HOUR_S, UTC)
    assert await world.read(next_due) == round((EPOCH_S + HOUR_S) * 1e6)
    assert world.facts[-1] == Scheduled(round((EPOCH_S + HOUR_S) * 1e6))
    assert await bench.at(HOUR_S - 0.001) == 0
    assert await bench.at(HOUR_S) == 1
    assert await bench.look() == 0

    (fire,) = await bench.history()
    assert fire.job_id is not None
    job = await world.job(fire.job_id)
    assert (job.state, job.owner, job.spec["params"]) == (
        JobState.QUEUED,
        "ada",
        {"argv": ["make"]},
    )
    assert (fire.outcome, fire.job_state) == (FIRED, JobState.QUEUED)
    after = await bench.show()
    assert after.last == fire
    assert after.next_local is not None
    assert after.next_local.isoformat() == "2027-01-15T11:00:00+01:00"


async def test_nothing_is_lost_or_doubled_by_a_restart(world: World, bench: Bench) -> None:
    """Downtime is made up for as was said; what was missed is told; and then it goes on."""
    await bench.add(misfire="latest", overlap="allow")
    await bench.at(HOUR_S)
    world.clock.seconds = EPOCH_S + 4.5 * HOUR_S
    await world.restart()

    assert await bench.look() == 1
    await world.restart()
    assert await bench.look() == 0
    assert await bench.at(5 * HOUR_S) == 1

    late = FireReason.LATE
    assert await bench.told() == [
        (1, FIRED, None),
        (2, MISSED, late),
        (3, MISSED, late),
        (4, FIRED, None),
        (5, FIRED, None),
    ]


@pytest.mark.parametrize("ahead_s", [2 * HOUR_S, 10 * 365 * 24 * HOUR_S])
async def test_a_clock_that_runs_ahead_and_comes_back(bench: Bench, ahead_s: float) -> None:
    """A schedule goes on by the clock as it is, and no instant that has fired fires again."""
    await bench.add(misfire="all", misfire_max=2, overlap="allow")
    await bench.at(HOUR_S)
    assert await bench.at(HOUR_S + ahead_s + 900) == 2

    assert await bench.at(HOUR_S + 900) == 0
    assert (await bench.show()).next_at == datetime.fromtimestamp(EPOCH_S + 2 * HOUR_S, UTC)
    again = await bench.at(2 * HOUR_S)

    fired = [fire.at for fire in await bench.history() if fire.outcome is FIRED]
    assert len(fired) == len(set(fired)) == 3 + again
    assert again == (0 if ahead_s == 2 * HOUR_S else 1)


async def test_a_clock_of_before_adds_no_moment(bench: Bench) -> None:
    """An interval begins one interval after it was made, also for a clock that is set back."""
    await bench.add(overlap="allow")
    await bench.at(-0.5 * HOUR_S)

    assert await bench.at(0) == 0
    assert await bench.at(HOUR_S) == 1


async def test_a_moment_that_a_clock_took_away_comes_after_all(bench: Bench) -> None:
    """What was given up because a clock ran ahead fires when its time really comes."""
    await bench.add(misfire="skip", overlap="allow")
    assert await bench.at(3.5 * HOUR_S) == 0
    await bench.at(0.5 * HOUR_S)

    assert await bench.at(HOUR_S) == 1

    assert (await bench.told())[0] == (1, FIRED, None)


@pytest.mark.parametrize(
    ("overlap", "states", "outcome"),
    [
        ("allow", [JobState.RUNNING, JobState.QUEUED], FIRED),
        ("skip", [JobState.RUNNING], SKIPPED),
        ("queue_one", [JobState.RUNNING, JobState.BLOCKED], FIRED),
        ("cancel_running", [JobState.CANCELLING, JobState.BLOCKED], FIRED),
    ],
)
async def test_overlap(
    world: World, bench: Bench, overlap: str, states: list[JobState], outcome: FireOutcome
) -> None:
    """While a job of its own runs, a schedule does what was said, and says what it did."""
    worker = await world.worker()
    await bench.add(overlap=overlap)
    await bench.at(HOUR_S)
    grant = await worker.claim_one()
    await worker.tell(started(grant))

    await bench.at(2 * HOUR_S)

    first, second = await bench.history()
    assert second.outcome is outcome
    shown = [fire.job_state for fire in (first, second) if fire.job_id is not None]
    assert shown == states
    if overlap == "skip":
        assert (second.reason, second.detail) == (
            FireReason.OVERLAP,
            f"{grant.job_id} was running",
        )
        with pytest.raises(IllegalTransition, match="overlap is skip"):
            await bench.run()


@pytest.mark.parametrize(
    ("overlap", "states"),
    [
        ("allow", [JobState.RUNNING, JobState.QUEUED]),
        ("queue_one", [JobState.RUNNING, JobState.BLOCKED]),
        ("cancel_running", [JobState.CANCELLING, JobState.BLOCKED]),
    ],
)
async def test_who_runs_it_now_meets_the_same_overlap(
    world: World, bench: Bench, overlap: str, states: list[JobState]
) -> None:
    """Beside, behind or in place of the job that runs, as at a moment of its own."""
    worker = await world.worker()
    await bench.add(overlap=overlap)
    await bench.at(HOUR_S)
    grant = await worker.claim_one()
    await worker.tell(started(grant))

    asked = await bench.run()

    assert [(await world.job(job)).state for job in (grant.job_id, asked)] == states
    if overlap == "queue_one":
        with pytest.raises(IllegalTransition, match=f"{asked} of this schedule is blocked"):
            await bench.run()


async def test_a_job_says_which_schedule_submitted_it(world: World, bench: Bench) -> None:
    """By itself or because a person asked; a job that stands for itself says nothing."""
    schedule = await bench.add(overlap="allow")
    alone = await world.submit()
    await bench.at(HOUR_S)
    (fire,) = await bench.history()
    asked = await bench.run()

    told = [(await world.job(job or "")).schedule_id for job in (fire.job_id, asked, alone.id)]

    assert told == [schedule.id, schedule.id, None]


async def test_a_unique_job_that_is_there_is_told(world: World, bench: Bench) -> None:
    """A moment whose job stands back for another one brings none, and says which is there."""
    there = await world.submit(unique={"key": "only"})
    await bench.add(job={**command(), "unique": {"key": "only"}})

    assert await bench.at(HOUR_S + 1) == 0
    assert await bench.run() == there.id

    shown = [(fire.outcome, fire.reason, fire.job_id) for fire in await bench.history()]
    assert shown == [(SKIPPED, FireReason.OVERLAP, None)] * 2
    details = [fire.detail for fire in await bench.history()]
    assert details == [
        f"{there.id} is there already (queued)",
        f"bob asked for it; {there.id} is there already (queued)",
    ]


async def test_one_job_waits_and_no_more(world: World, bench: Bench) -> None:
    """With `queue_one` a second job waits for the first, and a third is not made."""
    worker = await world.worker()
    await bench.add(overlap="queue_one")
    await bench.at(HOUR_S)
    grant = await worker.claim_one()
    await worker.tell(started(grant))
    await bench.at(2 * HOUR_S)
    assert await worker.claim() == []

    assert await bench.at(3 * HOUR_S) == 0
    await worker.tell(ended(grant))

    _, waited, skipped = await bench.history()
    assert skipped.detail == f"{waited.job_id} was blocked"
    assert (await worker.claim_one()).job_id == waited.job_id


async def test_a_job_that_is_over_is_in_nobodys_way(world: World, bench: Bench) -> None:
    """Once the last job has ended, the next moment fires."""
    worker = await world.worker()
    await bench.add(overlap="skip")
    await bench.at(HOUR_S)
    await worker.tell(ended(await worker.claim_one()))

    assert await bench.at(2 * HOUR_S) == 1


async def test_the_moment_stands_in_the_job(world: World, bench: Bench) -> None:
    """{{fire_time}} becomes the moment in every text; other braces stay as they are."""
    when = "{{fire_time}}"
    job = {
        **command("report", f"--for={when}", "{{.Name}}"),
        "name": f"report {when}",
        "env": {"AT": when},
        "labels": {"at": "{{ fire_time }}"},
    }
    await bench.add(job=job)
    await bench.at(HOUR_S + 20)

    (fire,) = await bench.history()
    spec = (await world.job(fire.job_id or "")).spec
    told = "2027-01-15T09:00:00Z"
    assert spec["params"]["argv"] == ["report", f"--for={told}", "{{.Name}}"]
    assert (spec["name"], spec["env"], spec["labels"]) == (
        f"report {told}",
        {"AT": told},
        {"at": told},
    )


async def test_a_refused_job_is_told_and_stops_nothing(world: World, bench: Bench) -> None:
    """A template that the server refuses leaves a failed moment with its reason, and no job."""
    gone = {**command(), "inputs": [{"file": "0" * 64, "name": "x"}]}
    await bench.add(job=gone)

    assert await bench.at(HOUR_S) == 0

    (fire,) = await bench.history()
    assert (fire.outcome, fire.reason) == (FireOutcome.FAILED, FireReason.REFUSED)
    assert "files that are not stored" in (fire.detail or "")
    assert await world.read(lambda reader: reader.rows("SELECT id FROM job")) == []
    assert (await bench.show()).next_at == datetime.fromtimestamp(EPOCH_S + 2 * HOUR_S, UTC)


async def test_a_restored_server_makes_up_for_nothing(bench: Bench) -> None:
    """What came since a backup was made is told as missed: the server of then has seen to it."""
    await bench.add(misfire="all", overlap="allow")
    bench.world.clock.seconds = EPOCH_S + 2.5 * HOUR_S

    await bench.world.write(schedules.pass_over_all)

    assert await bench.look() == 0
    assert await bench.at(3 * HOUR_S) == 1
    assert [(outcome, why) for _, outcome, why in await bench.told()] == [
        (MISSED, FireReason.RESTORED),
        (MISSED, FireReason.RESTORED),
        (FIRED, None),
    ]


async def test_local_time_that_is_left_out_is_told(bench: Bench) -> None:
    """On the day that clocks go forward, 02:30 does not come, and the history says so."""
    await bench.add(cron="30 2 * * *", zone="Europe/Berlin", overlap="allow")
    bench.world.clock.seconds = datetime(2027, 3, 27, 12, tzinfo=UTC).timestamp()
    await bench.look()

    bench.world.clock.seconds = datetime(2027, 3, 29, 0, 30, tzinfo=UTC).timestamp()
    assert await bench.look() == 1

    left_out, fired = (await bench.history())[-2:]
    assert (left_out.outcome, left_out.reason) == (SKIPPED, FireReason.DST_GAP)
    assert left_out.at == datetime(2027, 3, 28, 1, 30, tzinfo=UTC)
    assert fired.local.isoformat() == "2027-03-29T02:30:00+02:00"
