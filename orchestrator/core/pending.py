"""Why a queued job is not running, in the order in which a person would ask.

The answer is computed when somebody looks: a stored reason would be wrong a moment later.
"""

from dataclasses import dataclass

from orchestrator.core.gates import Gate
from orchestrator.protocol.words import PendingReason


@dataclass(frozen=True, slots=True)
class Fleet:
    """How many sessions are online, how many of them match, and how many of those are free.

    `barred` of those that match are in quarantine and are not given the job; none of them is free.
    """

    online: int
    matching: int
    matching_free: int
    barred: int = 0


def why_queued(fleet: Fleet, gate: Gate | None = None) -> PendingReason:
    """Return the first thing that keeps a queued job from running.

    A closed gate comes first: as long as it is closed, no worker would change anything.
    """
    if gate is not None:
        return gate.reason
    if fleet.online == 0:
        return PendingReason.NO_WORKER_ONLINE
    if fleet.matching == 0:
        return PendingReason.NO_WORKER_MATCHES
    if fleet.barred == fleet.matching:
        return PendingReason.WORKERS_QUARANTINED
    if fleet.matching_free == 0:
        return PendingReason.ALL_SLOTS_BUSY
    return PendingReason.STARTING
