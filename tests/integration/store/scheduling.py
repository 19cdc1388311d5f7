"""Schedules in the words of tests: made, looked at by hand at any moment, and their history."""

import json
from functools import partial
from typing import Any

from orchestrator.kernel.errors import OrchestratorError
from orchestrator.protocol.schedules import FireView, SchedulePatch, ScheduleSpec, ScheduleView
from orchestrator.protocol.words import FireOutcome, FireReason
from orchestrator.server.operations import schedules
from orchestrator.server.operations.fires import due_schedules, fire_due, run_now
from orchestrator.server.operations.schedule_records import find_schedule
from tests.integration.store.world import EPOCH_S, World
from tests.support.builders import command

HOUR_S = 3600.0
FIRED, SKIPPED, MISSED = FireOutcome.FIRED, FireOutcome.SKIPPED, FireOutcome.MISSED


class Bench:
    """A world with schedules, and a server that looks at them when the test says so."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def add(self, **fields: Any) -> ScheduleView:
        """Add a schedule: every hour unless told otherwise."""
        when = {} if {"cron", "at"} & set(fields) else {"every_s": HOUR_S}
        given = {"name": "nightly", "job": command(), **when, **fields}
        spec = ScheduleSpec.model_validate_json(json.dumps(given))
        new = self.world.id("schedule")
        deed = partial(schedules.add_schedule, schedule_id=new, owner="ada", spec=spec)
        return await self.world.write(deed)

    async def look(self) -> int:
        """Let everything fire whose moment has come, as the alarm does; return how many jobs."""
        world = self.world
        jobs = 0
        for due in await world.read(partial(due_schedules, now_us=world.now_us)):
            deed = partial(fire_due, schedule_id=due, new_id=world.id)
            try:
                jobs += await world.write(deed)
            except OrchestratorError as error:
                jobs += await world.write(partial(deed, refused=error.message))
        return jobs

    async def at(self, seconds: float) -> int:
        """Go to a moment behind the beginning, and look."""
        self.world.clock.seconds = EPOCH_S + seconds
        return await self.look()

    async def edit(self, **fields: Any) -> ScheduleView:
        """Change the schedule."""
        patch = SchedulePatch.model_validate_json(json.dumps(fields))
        return await self.world.write(partial(schedules.edit_schedule, name="nightly", patch=patch))

    async def show(self) -> ScheduleView:
        """Return the schedule."""
        return await self.world.read(partial(schedules.show_schedule, name="nightly"))

    async def history(self) -> list[FireView]:
        """Return what became of its moments, the oldest first."""
        found, more = await self.world.read(
            partial(schedules.history, name="nightly", cursor=None, limit=500)
        )
        assert more is None
        return found[::-1]

    async def told(self) -> list[tuple[float, FireOutcome, FireReason | None]]:
        """Return the same in hours behind the beginning."""
        return [
            ((fire.at.timestamp() - EPOCH_S) / HOUR_S, fire.outcome, fire.reason)
            for fire in await self.history()
        ]

    async def run(self) -> str:
        """Run it now, and return the job's id."""
        new = self.world.id("job")
        job = await self.world.write(
            lambda tx: run_now(tx, find_schedule(tx, "nightly"), job_id=new, by="bob")
        )
        return job.id
