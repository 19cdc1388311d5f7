"""Planted bugs of what jobs share: gates, turns, batches, orders for many."""

from typing import Any

import orchestrator.core.gates
import orchestrator.core.order
import orchestrator.server.operations.batches
import orchestrator.server.operations.bulk
import orchestrator.server.operations.changes
import orchestrator.server.operations.claim
import orchestrator.server.operations.gating
import orchestrator.server.operations.progress
import orchestrator.server.operations.queues
import orchestrator.server.operations.upkeep
from tests.simulation.plants import Plant, operations, put, replaced, server
from tests.simulation.world.syscalls import Patches

order = orchestrator.core.order
claim: Any = operations.claim
own_claim_uncounted: Plant = put(
    orchestrator.core.gates.Usage, "take", lambda _self, _line, *, now_us: now_us
)
only_running_held: Plant = replaced(
    operations.gating,
    "_LIVE",
    "WHERE session_id > '' GROUP BY",
    "WHERE session_id > '' AND state = 'running' GROUP BY",
)
freed_in_silence: Plant = put(operations.changes, "call_out", lambda *_: None)
resumed_in_silence: Plant = put(operations.queues, "_call_out", lambda *_: None)
window_in_silence: Plant = put(operations.upkeep, "call_out_opened", lambda _tx: None)
ended_starts_uncounted: Plant = replaced(
    operations.gating,
    "_STARTS",
    "(attempt.outcome IS NULL OR attempt.outcome <> 'released')",
    "attempt.outcome IS NULL",
)
weightless: Plant = put(order, "stride", lambda _queue: order.STRIDE)
savings_kept: Plant = put(
    order, "level", lambda queues: {name: queue.passed for name, queue in queues.items()}
)
first_come: Plant = put(order, "turn_us", lambda head, _served_us: head.rank)
failures_unheard: Plant = put(operations.changes, "stop_failing", lambda *_: None)
half_ended: Plant = replaced(
    operations.batches, "_STOPPED", "stopping_before = :before", "stopping_before = NULL"
)
older_progress: Plant = replaced(operations.progress, "_SAVE", "AND progress_seq < :seq", "")


def paused_as_any(patches: Patches) -> None:
    """Serve a paused queue as any other."""
    real = claim.read_queues

    def read(reader: Any) -> Any:
        return {name: one._replace(paused=False) for name, one in real(reader).items()}

    patches.set(claim, "read_queues", read)


def orders_given_up(patches: Patches) -> None:
    """Let a server that starts give up what was ordered of many jobs."""
    real = server.begin

    def begin(tx: Any) -> None:
        real(tx)
        operations.bulk.end_bulks(tx)

    patches.set(server, "begin", begin)
