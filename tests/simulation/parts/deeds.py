"""What people ask of queues, batches and many jobs at once, as their routes do it."""

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any, Final

from orchestrator.kernel.bell import Bell
from orchestrator.protocol.batches import BatchReply
from orchestrator.server.operations.batches import (
    NewBatch,
    append,
    cancel_batch,
    close,
    create,
    retry_failed,
)
from orchestrator.server.operations.bulk import NewBulk, begin_bulk
from orchestrator.server.operations.idempotency import Answer, IdempotencyKey, once
from orchestrator.server.operations.queues import pause_queue, resume_queue, set_queue
from orchestrator.server.store.interface import Transaction
from orchestrator.server.upkeep.bulks import Bulks, count_meant
from tests.simulation.parts.store import SimStore
from tests.simulation.world.paths import SimPath

ROUTE: Final = "POST /api/v1/batches"
RETRIED: Final = 100


class Deeds:
    """One life of a server, as those see it who ask for such things."""

    def __init__(self, store: SimStore, clock: Any, new_id: Callable[[str], str]) -> None:
        self._store = store
        self._new_id = new_id
        lock: Any = SimPath("/outputs/lock")
        services: Any = SimpleNamespace(store=store, clock=clock, new_id=new_id, bulk_bell=Bell())
        self._services = services
        self.bulks = Bulks(services, lock)

    async def do(self, name: str, request: Any, who: str) -> Any:
        """Do it, and return the answer."""
        verb, about, more = request
        match name:
            case "queue":
                return await self._store.write(self._of_queue(verb, about, more, who))
            case "bulk":
                return await self._bulk(verb, about, more, who)
            case _:
                return await self._batch(verb, about, more, who)

    def _of_queue(self, verb: str, name: str, settings: Any, who: str) -> Any:
        match verb:
            case "set":
                return partial(set_queue, name=name, asked=settings)
            case "pause":
                return partial(pause_queue, name=name, by=who, why=None)
            case _:
                return partial(resume_queue, name=name)

    async def _bulk(self, verb: str, order: Any, preview: Any, who: str) -> Any:
        if verb == "count":
            return await count_meant(self._services, order)
        new = NewBulk(self._new_id("bulk"), who, may_cancel=True)
        deed = partial(begin_bulk, order=order, preview=preview, new=new)
        view = await self._store.write(deed)
        self._services.bulk_bell.ring()
        return view

    async def _batch(self, verb: str, key: str, more: Any, who: str) -> Any:
        match verb:
            case "create":
                max_fails, is_open, items = more
                new = NewBatch(self._new_id("batch"), who, max_fails=max_fails, is_open=is_open)
                ids = self._ids(len(items))
                return await self._once(key, lambda tx: create(tx, new, items, job_ids=ids))
            case "append":
                batch_id, items = more
                ids = self._ids(len(items))
                return await self._once(key, lambda tx: append(tx, batch_id, items, job_ids=ids))
            case "close":
                return await self._store.write(partial(close, batch_id=more))
            case "cancel":
                return await self._store.write(partial(cancel_batch, batch_id=more, by=who))
            case _:
                ids = self._ids(RETRIED)
                again = partial(retry_failed, batch_id=more, owner=who, job_ids=ids)
                return await self._once(key, again)

    def _ids(self, count: int) -> list[str]:
        return sorted(self._new_id("job") for _ in range(count))

    async def _once(self, key: str, deed: Callable[[Transaction], Answer]) -> Any:
        """Do it once, however often it is asked for; return the answer as its reader has it."""
        known = IdempotencyKey("people", ROUTE, key, key)

        def submit(tx: Transaction) -> tuple[bytes, bool]:
            return once(tx, known, lambda: deed(tx))

        text, _ = await self._store.write(submit)
        return BatchReply.model_validate_json(text)
