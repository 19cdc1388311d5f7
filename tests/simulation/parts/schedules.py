"""Schedules that somebody keeps, and what must be true of each of their moments in the end."""

import json
import random
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from orchestrator.kernel.errors import RequestInvalid
from orchestrator.protocol.base import moment
from orchestrator.protocol.schedules import ScheduleSpec
from tests.simulation.parts.plan import Plan

if TYPE_CHECKING:
    from tests.simulation.scene import Scene

FIRST_PLAN: Final = 1000
"""Plans of schedules are numbered from here on."""
ALARM_S: Final = 35.0
"""The longest sleep of the alarm, and a moment."""
SECOND_US: Final = 1_000_000


def keep_schedules(scene: "Scene", seed: int, count: int, horizon: float) -> None:
    """Have some schedules kept, each with an end. They draw their own chances."""
    chance = random.Random(f"schedules {seed}")
    for index in range(count):
        number = FIRST_PLAN + index
        plan = scene.plans[number] = Plan(number)
        plan.seconds = chance.uniform(0.1, 8.0)
        fields: dict[str, Any] = {
            "name": f"s{index}",
            "every_s": chance.choice((5.0, 10.0, 20.0)),
            "misfire": chance.choice(("skip", "latest", "all")),
            "overlap": chance.choice(("allow", "skip", "queue_one")),
            "jitter_s": chance.choice((0.0, 2.0)),
            "job": {"kind": "command", "params": {"argv": ["sim", str(number)]}},
        }
        lasts_s = fields["every_s"] * chance.randrange(4, 12) + 1.0
        scene.people.keep_at(chance.uniform(0.2, horizon / 3), partial(_spec, fields, lasts_s))


def _spec(fields: dict[str, Any], lasts_s: float, wall_s: float) -> ScheduleSpec:
    """Return a schedule that ends so long after now."""
    end = moment(round((wall_s + lasts_s) * SECOND_US)).isoformat()
    return ScheduleSpec.model_validate_json(json.dumps({**fields, "end": end}))


async def keep(scene: "Scene", ask: Any, spec: ScheduleSpec) -> None:
    """Ask for a schedule until there is an answer."""
    try:
        await ask("schedule", spec)
    except RequestInvalid:
        scene.world.sometimes("a schedule is over before it is kept")


class Moments:
    """The checker of schedules: every moment has its line, and every fire its one job."""

    def __init__(self, scene: "Scene") -> None:
        self._world = scene.world
        self._db = scene.database

    def check(self) -> None:
        """Look at all of them (J21 of the mission)."""
        for schedule_id, text, anchor_us, due_us in self._db.rows(
            "SELECT id, spec, anchor_us, due_us FROM schedule"
        ):
            if due_us is not None:
                self._world.violated("I10", f"{schedule_id} goes on long after its end")
            self._check_lines(schedule_id, ScheduleSpec.model_validate_json(text), anchor_us)
        self._check_jobs()

    def _check_lines(self, schedule_id: str, spec: ScheduleSpec, anchor_us: int) -> None:
        period_us = round((spec.every_s or 0) * SECOND_US)
        end_us = round((spec.end.timestamp() if spec.end else 0) * SECOND_US)
        wanted = set(range(anchor_us + period_us, end_us + 1, period_us))
        told: set[int] = set()
        for fire_us, outcome, through_us, recorded_us in self._db.rows(
            "SELECT fire_us, outcome, through_us, recorded_us FROM schedule_fire "
            "WHERE schedule_id = ? AND origin = 'rule'",
            schedule_id,
        ):
            self._world.sometimes(f"a moment of a schedule is {outcome}")
            if recorded_us < fire_us:
                self._world.violated("J21", f"{schedule_id} told of {fire_us} before it came")
            told |= {at for at in wanted if fire_us <= at <= (through_us or fire_us)}
            if fire_us not in wanted:
                self._world.violated("J21", f"{schedule_id} has no moment {fire_us}")
        if told != wanted:
            lost = sorted(wanted - told)
            self._world.violated("J21", f"{schedule_id} is silent of {len(lost)}: {lost[:3]}")

    def _check_jobs(self) -> None:
        """Each fire has one job, and no job of a schedule is without its fire."""
        jobs = {job_id for (job_id,) in self._db.rows("SELECT id FROM job WHERE schedule_id <> ''")}
        fired = [
            job_id
            for (job_id,) in self._db.rows(
                "SELECT job_id FROM schedule_fire WHERE outcome = 'fired'"
            )
        ]
        if len(fired) != len(set(fired)) or set(fired) != jobs:
            self._world.violated("J21", f"{len(jobs)} jobs of schedules, and {len(fired)} fires")
