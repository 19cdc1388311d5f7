"""Jobs that are in each other's way, and that one worker may never have.

What is wrong is seen by the database's own triggers: a second unfinished job with a key, and an
attempt of a job that says `NOT_FOR` in one of its ways for the worker of that name.
"""

import random
from typing import Final

from tests.simulation.parts.plan import Plan

NOT_FOR: Final = "w0a"
"""The first worker of the first machine."""
REQUIREMENTS: Final = (
    f"linux && !worker={NOT_FOR}",
    f"worker=w0b || (worker=w1a && worker!={NOT_FOR})",
)
KEYS: Final = ("one", "two")


def make_rival(plan: Plan, seed: int) -> None:
    """Let a job have rivals; drawn apart, so that all else of a seed stays what it was."""
    chance = random.Random(f"rivals {seed} {plan.number}")
    if chance.random() < 0.6:
        how = chance.choice(("return", "refuse", "replace", "replace"))
        plan.fields["unique"] = {"key": chance.choice(KEYS), "on_conflict": how}
    if chance.random() < 0.6:
        plan.fields["requires"] = {"tags": chance.choice(REQUIREMENTS)}
