"""What people do with schedules: make, pause, change, run and delete them, and read about them."""

from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from orchestrator.kernel.errors import AlreadyExists, NotFound, RequestInvalid
from orchestrator.protocol.jobs import JobSpec
from orchestrator.protocol.words import FireReason, JobState, ScheduleState
from orchestrator.server.operations import schedules
from orchestrator.server.operations.schedule_records import find_schedule
from orchestrator.server.operations.upkeep import next_due
from tests.integration.store.scheduling import FIRED, HOUR_S, MISSED, SKIPPED, Bench
from tests.integration.store.world import World
from tests.support.builders import command


async def test_pausing(bench: Bench) -> None:
    """Nothing fires while it is paused; resumed, it tells what came meanwhile, and goes on."""
    await bench.add(overlap="allow")
    paused = await bench.world.write(partial(schedules.pause_schedule, name="nightly", by="bob"))
    assert (paused.state, paused.paused_by, paused.next_at) == (ScheduleState.PAUSED, "bob", None)
    assert await bench.at(2.5 * HOUR_S) == 0
    assert await bench.world.read(next_due) is None
    await bench.edit(misfire="all")
    assert await bench.world.read(next_due) is None

    await bench.world.write(partial(schedules.resume_schedule, name="nightly"))

    assert await bench.look() == 0
    assert await bench.at(3 * HOUR_S) == 1
    skipped = FireReason.PAUSED
    assert await bench.told() == [
        (1, SKIPPED, skipped),
        (2, SKIPPED, skipped),
        (3, FIRED, None),
    ]


async def test_running_it_now(bench: Bench) -> None:
    """A person's run is beside the schedule's own moments, and as often as a person asks."""
    await bench.add(overlap="allow")

    first, second = await bench.run(), await bench.run()
    await bench.at(HOUR_S)

    told = await bench.history()
    assert [fire.origin for fire in told] == ["person", "person", "rule"]
    assert [fire.job_id for fire in told[:2]] == [first, second]
    assert told[0].detail == "bob asked for it"


async def test_editing(bench: Bench) -> None:
    """A change counts from now; another way to say when takes the place of the old one."""
    await bench.add(job=command("old"), jitter_s=60)
    bench.world.clock.seconds += 1.5 * HOUR_S

    shown = await bench.edit(cron="0 12 * * *", zone="Asia/Tokyo", jitter_s=None, name="noon")

    assert (shown.name, shown.words) == ("noon", "every day at 12:00 Asia/Tokyo")
    assert shown.spec == {
        "name": "noon",
        "cron": "0 12 * * *",
        "zone": "Asia/Tokyo",
        "job": command("old"),
    }
    assert shown.last is not None
    assert (shown.last.outcome, shown.last.reason) == (MISSED, FireReason.EDITED)
    assert shown.next_at == datetime(2027, 1, 16, 3, tzinfo=UTC)


@pytest.mark.parametrize(
    ("fields", "field", "said"),
    [
        ({"cron": "0 0 31 2 *"}, "cron", "never comes"),
        ({"cron": "* * * * * *"}, "cron", "more often than every 5 s"),
        ({"at": "2020-01-01T00:00:00Z"}, "at", "lies in the past"),
        ({"end": "2020-01-01T00:00:00Z"}, "every_s", "lies in the past"),
        ({"jitter_s": 3600, "every_s": 60}, "jitter_s", "longer than the time between"),
    ],
)
async def test_a_schedule_that_makes_no_sense_is_refused(
    bench: Bench, fields: dict[str, Any], field: str, said: str
) -> None:
    """What never fires, or all the time, is told at once, with the field and the reason."""
    with pytest.raises(RequestInvalid) as refused:
        await bench.add(**fields)

    ((place, fault),) = refused.value.fields
    assert (place, said in fault) == (field, True)


async def test_a_name_is_taken_once(bench: Bench) -> None:
    """The same schedule asked for twice is one; another one of its name is refused."""
    first = await bench.add(at="2027-01-15T09:00:00Z")
    bench.world.clock.seconds += 2 * HOUR_S

    # A repeated request whose answer was lost may come after the moment.
    assert await bench.add(at="2027-01-15T09:00:00Z") == first
    with pytest.raises(AlreadyExists):
        await bench.add(cron="0 0 * * *")


async def test_no_schedule_is_named_like_the_id_of_one(bench: Bench) -> None:
    """Each is found by its name and by its id, so nobody may take another one's id for a name."""
    first = await bench.add()

    with pytest.raises(RequestInvalid) as refused:
        await bench.add(name=first.id, cron="0 0 * * *")
    assert refused.value.fields[0][0] == "name"
    with pytest.raises(RequestInvalid):
        await bench.edit(name=first.id)

    by_id = await bench.world.read(partial(find_schedule, name=first.id))
    assert (by_id.id, by_id.spec.name) == (first.id, "nightly")
    short = await bench.add(name="schedule_1", cron="0 0 * * *")
    assert (await bench.world.read(partial(find_schedule, name="schedule_1"))).id == short.id


async def test_one_moment_and_no_more(bench: Bench) -> None:
    """A schedule of one instant fires and is finished."""
    await bench.add(at="2027-01-15T09:00:00Z")

    assert await bench.at(HOUR_S) == 1

    shown = await bench.show()
    assert (shown.state, shown.next_at) == (ScheduleState.FINISHED, None)
    assert await bench.world.read(next_due) is None


async def test_deleting_leaves_the_jobs(world: World, bench: Bench) -> None:
    """What was submitted stays; the schedule and its history are gone."""
    await bench.add()
    await bench.at(HOUR_S)
    (fire,) = await bench.history()

    await world.write(partial(schedules.delete_schedule, name="nightly"))

    with pytest.raises(NotFound, match="there is no schedule nightly"):
        await bench.show()
    assert (await world.job(fire.job_id or "")).state is JobState.QUEUED
    assert await bench.at(9 * HOUR_S) == 0


async def test_pages(world: World, bench: Bench) -> None:
    """Lists and histories are read page by page, and nothing stands between two pages."""
    for number in range(5):
        await bench.add(name=f"s{number}", overlap="allow")
    found, after = await world.read(partial(schedules.list_schedules, after="", limit=3))
    rest, end = await world.read(partial(schedules.list_schedules, after=after or "", limit=3))
    assert [one.name for one in found + rest] == ["s0", "s1", "s2", "s3", "s4"]
    assert end is None

    for hour in range(1, 6):
        await bench.at(hour * HOUR_S)
    ask = partial(schedules.history, name="s1", limit=2)
    seen, cursor = await world.read(partial(ask, cursor=None))
    while cursor is not None:
        more, cursor = await world.read(partial(ask, cursor=cursor))
        seen += more
    assert [one.at.hour for one in seen] == [13, 12, 11, 10, 9]


async def test_the_template_is_a_job(bench: Bench) -> None:
    """A template is kept as it was given, and nothing that was not said is added to it."""
    shown = await bench.add(job={"kind": "delay", "params": {"ms": 1}})

    assert shown.spec["job"] == {"kind": "delay", "params": {"ms": 1}}
    assert JobSpec.model_validate(shown.spec["job"]).kind == "delay"


async def test_an_old_history_is_forgotten_but_for_the_last_line(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ninety days are kept, and what came of the last time however long ago it was."""
    monkeypatch.setattr(schedules, "FORGOTTEN", 1)
    await bench.add(overlap="allow", end="2027-01-15T12:00:00Z")
    for hour in (1, 2, 3):
        await bench.at(hour * HOUR_S)

    bench.world.clock.seconds += 89 * 24 * HOUR_S
    assert await bench.world.write(schedules.forget_fires) == 0
    bench.world.clock.seconds += 10 * 24 * HOUR_S
    some = [await bench.world.write(schedules.forget_fires) for _ in range(3)]

    assert some == [1, 1, 0]
    assert [hour for hour, _, _ in await bench.told()] == [3]
