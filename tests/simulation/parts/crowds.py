"""Batches of jobs, and orders for all jobs of a team: drawn from chances of their own."""

import json
import random
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from orchestrator.kernel.errors import IllegalTransition, NotFound, RequestInvalid
from orchestrator.protocol.batches import BatchItem
from orchestrator.protocol.bulk import BulkOrder
from orchestrator.protocol.words import BulkAction
from tests.simulation.parts.plan import Plan
from tests.simulation.parts.sharing import LIMITS, OWNERS, QUEUES, TEAMS, Ask

if TYPE_CHECKING:
    from tests.simulation.scene import Scene

FIRST_PLAN: Final = 2000
"""Plans of batches are numbered from here on."""


class Crowds:
    """Those who submit batches of a seed, and those who order about many jobs."""

    def __init__(self, scene: "Scene", seed: int, horizon: float) -> None:
        self._scene = scene
        self._chance = chance = random.Random(f"crowds {seed}")
        self._plans = FIRST_PLAN
        for number in range(chance.randrange(1, 4)):
            when = chance.uniform(0.2, horizon * 0.7)
            scene.people.do_at(when, self._batch(f"batch-{number}"))
        for _ in range(chance.randrange(1, 4)):
            order = BulkOrder(
                q=f"label:team={chance.choice(TEAMS)}",
                action=chance.choice((BulkAction.CANCEL, BulkAction.HOLD, BulkAction.HOLD)),
            )
            when = chance.uniform(horizon * 0.2, horizon * 0.9)
            scene.people.do_at(when, partial(self._order, order))

    def _items(self, chance: random.Random, count: int) -> list[BatchItem]:
        return [self._item(chance, place) for place in range(count)]

    def _item(self, chance: random.Random, place: int) -> BatchItem:
        plan = self._scene.plans[self._plans] = Plan(self._plans)
        self._plans += 1
        plan.seconds = chance.choice((0.2, 1.0, 4.0)) * chance.uniform(0.2, 1.0)
        plan.codes = chance.choice(((0,), (0,), (3,), (1, 0)))
        fields: dict[str, Any] = {
            "kind": "command",
            "params": {"argv": ["sim", str(plan.number)]},
            "queue": chance.choice(QUEUES),
            "fairness_key": chance.choice(OWNERS),
            "labels": {"team": chance.choice(TEAMS)},
        }
        if chance.random() < 0.2:
            key = chance.choice(sorted(LIMITS))
            fields["concurrency"] = [{"key": key, "limit": LIMITS[key]}]
        if place and chance.random() < 0.3:
            fields["depends_on"] = [{"item": chance.randrange(place)}]
        return BatchItem.model_validate_json(json.dumps(fields))

    def _batch(self, key: str) -> Any:
        """Return what somebody does with one batch: all of it is drawn beforehand."""
        chance = self._chance
        is_open = chance.random() < 0.4
        first = self._items(chance, chance.randrange(3, 9))
        more = self._items(chance, chance.randrange(1, 4)) if is_open else []
        max_fails = chance.choice((None, None, 0, 1))
        ends = chance.random() < 0.4
        again = chance.random() < 0.6
        pauses = [chance.uniform(0.5, 15.0) for _ in range(4)]

        async def live(ask: Ask) -> None:
            world = self._scene.world
            reply = await ask("batch", ("create", key, (max_fails, is_open, first)))
            batch_id = reply.id
            try:
                if more:
                    await world.pause(pauses[0])
                    await ask("batch", ("append", f"{key}+", (batch_id, more)))
                if is_open:
                    await world.pause(pauses[1])
                    await ask("batch", ("close", key, batch_id))
                    world.sometimes("a batch is closed")
                if ends:
                    await world.pause(pauses[2])
                    await ask("batch", ("cancel", key, batch_id))
                if again:
                    await world.pause(pauses[3])
                    done = await ask("batch", ("retry", f"{key} again", batch_id))
                    if done.job_ids:
                        world.sometimes("what failed of a batch is tried again")
            except NotFound:
                world.sometimes("a restore takes back a batch")
            except IllegalTransition:
                world.sometimes("a batch takes no more jobs")
            except RequestInvalid:
                world.sometimes("a restore takes back what a batch was to depend on")

        return live

    async def _order(self, order: BulkOrder, ask: Ask) -> None:
        preview = await ask("bulk", ("count", order, None))
        view = await ask("bulk", ("begin", order, preview))
        self._scene.world.note("order for many", view.id, view.q, view.action, view.count)
        if view.count > 1:
            self._scene.world.sometimes("somebody orders many jobs about")
