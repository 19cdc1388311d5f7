"""Jobs in company: what depends on other jobs, and what has an end, in some of the seeds.

It draws from a chance of its own, so that the seeds without it are the worlds that they were.
"""

import random
from typing import Any, Final

from tests.simulation.parts.plan import Plan

EVERY: Final = 16
TURN: Final = 14
"""Which of so many seeds have company."""
PARENTS: Final = 3


class Company:
    """Which jobs of a seed wait for which others, and how long they may take."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(f"company {seed}")
        self._is_there = seed % EVERY == TURN
        self.parents: dict[int, list[dict[str, Any]]] = {}
        """By the number of a plan: the numbers of those that it depends on, and how."""

    def join(self, plan: Plan) -> None:
        """Let a job depend on some of those before it, and have an end."""
        chance = self._chance
        if not self._is_there:
            return
        if plan.number and chance.random() < 0.6:
            before = range(plan.number)
            count = min(len(before), chance.randint(1, PARENTS))
            self.parents[plan.number] = [
                {
                    "plan": number,
                    "on": chance.choice(("success", "success", "finish")),
                    "on_failure": chance.choice(("fail", "fail", "continue")),
                }
                for number in chance.sample(before, count)
            ]
        if chance.random() < 0.3:
            plan.fields["queue_ttl_s"] = chance.choice((2.0, 20.0, 200.0))
        if chance.random() < 0.2:
            plan.fields["deadline_s"] = chance.choice((5.0, 60.0, 200.0))

    def dependencies(self, number: int, ids: dict[int, str]) -> list[dict[str, Any]]:
        """Return what a job asks for, of those that are known to be there."""
        return [
            {"job": ids[one["plan"]], "on": one["on"], "on_failure": one["on_failure"]}
            for one in self.parents.get(number, [])
            if one["plan"] in ids
        ]
