"""The alarm clock: what comes at one moment does not hold up what comes at another."""

import json
from functools import partial

import anyio
import pytest

from orchestrator.protocol.batches import BatchItem
from orchestrator.server.facts import JobChanged
from orchestrator.server.operations import batches
from orchestrator.server.operations.batch_views import get_batch
from orchestrator.server.operations.batches import NewBatch, cancel_batch, create
from orchestrator.server.upkeep.alarm import Alarm
from tests.integration.store.scheduling import HOUR_S, Bench
from tests.integration.store.world import World
from tests.support.builders import command
from tests.support.waiting import until


async def test_a_long_cancel_holds_up_no_schedule(
    world: World, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A schedule fires while the many jobs of a batch are being cancelled, and not behind them."""
    monkeypatch.setattr(batches, "STOPPED_AT_ONCE", 1)
    await bench.add()
    items = [BatchItem.model_validate_json(json.dumps(command())) for _ in range(5)]
    ids = [world.id("job") for _ in items]
    batch = NewBatch(world.id("batch"), "ada")
    await world.write(partial(create, new=batch, items=items, job_ids=ids))
    world.clock.seconds += HOUR_S
    await world.write(partial(cancel_batch, batch_id=batch.id, by="bob"))

    async def is_done() -> bool:
        return (await world.read(partial(get_batch, batch_id=batch.id))).done

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Alarm(world.store, world.clock, world.id).run)
        await until(is_done)
        await until(bench.history)
        tasks.cancel_scope.cancel()

    (fire,) = await bench.history()
    changed = [fact.job_id for fact in world.facts if isinstance(fact, JobChanged)]
    cancelled_last = len(changed) - 1 - changed[::-1].index(ids[0])
    assert changed.index(fire.job_id or "") < cancelled_last
