"""Jobs that share: queues with weights and limits, keys, rates, and those who take turns.

All of it is drawn from chances of its own, so that the seeds without it are the worlds they were.
"""

import random
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from orchestrator.protocol.queues import QueueSettings
from orchestrator.server.operations.queues import set_queue
from tests.simulation.parts.plan import Plan

if TYPE_CHECKING:
    from tests.simulation.scene import Scene

Ask = Callable[[str, Any], Awaitable[Any]]
QUEUES: Final = ("default", "web", "night")
OWNERS: Final = ("ada", "bob", "cyd")
LIMITS: Final = {"db": 1, "gpu": 2}
RATES: Final = {"mail": (2, 8.0), "text": (1, 4.0)}
TEAMS: Final = ("red", "green", "blue")
STRATEGIES: Final = ("wait", "wait", "wait", "refuse", "cancel_running")
LOOK_S: Final = 5.0


def make_shared(plan: Plan, seed: int, *, only_waits: bool) -> None:
    """Let a job share things with others; `only_waits` keeps it from pushing anybody aside."""
    chance = random.Random(f"sharing {seed} {plan.number}")
    plan.missing = False
    plan.seconds = chance.choice((0.5, 2.0, 6.0)) * chance.uniform(0.2, 1.0)
    fields = plan.fields
    fields.pop("priority", None)
    fields["queue"] = chance.choice(QUEUES)
    fields["fairness_key"] = chance.choice(OWNERS)
    fields["labels"] = {"team": chance.choice(TEAMS)}
    if chance.random() < 0.35:
        key = chance.choice(sorted(LIMITS))
        how = "wait" if only_waits else chance.choice(STRATEGIES)
        fields["concurrency"] = [{"key": key, "limit": LIMITS[key], "strategy": how}]
    if chance.random() < 0.2:
        name = chance.choice(sorted(RATES))
        count, per_s = RATES[name]
        fields["rate_limit"] = [{"key": name, "count": count, "per_s": per_s}]


class Queues:
    """The queues of a seed, and the people who set, pause and resume them."""

    def __init__(self, scene: "Scene", seed: int, horizon: float) -> None:
        """Make the queues, before anybody comes."""
        self._scene = scene
        self._chance = chance = random.Random(f"queues {seed}")
        for name in QUEUES:
            self._make(name, self._settings())
        for _ in range(chance.randrange(3, 9)):
            name, when = chance.choice(QUEUES), chance.uniform(0.0, horizon)
            lasts_s = chance.choice((1.0, 5.0, 25.0))
            scene.people.do_at(when, partial(self._pause, name, lasts_s))
        for _ in range(chance.randrange(3)):
            deed = partial(self._set, chance.choice(QUEUES), self._settings())
            scene.people.do_at(chance.uniform(0.0, horizon), deed)
        self._look()

    def _make(self, name: str, settings: QueueSettings) -> None:
        now_us = round(self._scene.server.machine.clocks.wall(0.0) * 1_000_000)
        self._scene.database.write(lambda tx: set_queue(tx, name, settings), now_us)

    def _settings(self) -> QueueSettings:
        chance = self._chance
        return QueueSettings(
            weight=chance.choice((1, 1, 2, 3, 5)), max_running=chance.choice((None, None, 1, 2))
        )

    async def _set(self, name: str, settings: QueueSettings, ask: Ask) -> None:
        await ask("queue", ("set", name, settings))

    async def _pause(self, name: str, lasts_s: float, ask: Ask) -> None:
        await ask("queue", ("pause", name, None))
        self._scene.world.sometimes("a queue is paused")
        await self._scene.world.pause(lasts_s)
        await ask("queue", ("resume", name, None))

    def _look(self) -> None:
        """See to it that in the end no queue is paused: a restore may have brought a pause back."""
        scene = self._scene
        if scene.people.is_calm:
            for (name,) in scene.database.rows("SELECT name FROM queue WHERE paused_us > 0"):
                scene.people.do_at(scene.world.loop.now, partial(self._resume, name))
        scene.world.loop.after(LOOK_S, self._look)

    async def _resume(self, name: str, ask: Ask) -> None:
        await ask("queue", ("resume", name, None))
