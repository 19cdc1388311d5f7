"""Why a queued job is not running, worker by worker: what each of them fails, and who fails least.

It is the long form of `pending.why_queued`, and says the same.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from orchestrator.core.matching import Offer, Requirement, lacks
from orchestrator.core.pending import Fleet, why_queued
from orchestrator.protocol.words import PendingReason

ONLINE: Final = "online"
FREE_SLOT: Final = "a free slot"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A worker as it is now."""

    offer: Offer
    online: bool
    free: bool

    def misses(self, requirement: Requirement) -> tuple[str, ...]:
        """Return all that keeps it from being given the job, the hardest to change first."""
        found = lacks(self.offer, requirement)
        if not self.online:
            return (*found, ONLINE)
        return found if self.free else (*found, FREE_SLOT)


@dataclass(frozen=True, slots=True)
class NearestMiss:
    """The worker that lacks least."""

    worker: str
    lacks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Explained:
    """Why, how many workers fail each constraint, and who fails least.

    `failing` goes from what most workers fail to what fewest do. There is no nearest miss when
    somebody could take the job, or nobody is there at all.
    """

    reason: PendingReason
    workers: int
    fleet: Fleet
    failing: Mapping[str, int]
    nearest: NearestMiss | None


def explain(requirement: Requirement, candidates: Sequence[Candidate]) -> Explained:
    """Return what keeps a queued job with that requirement from running."""
    misses = {one.offer.worker_id: one.misses(requirement) for one in candidates}
    counted = Counter(miss for found in misses.values() for miss in found)
    online = [one for one in candidates if one.online]
    matching = [one for one in online if not lacks(one.offer, requirement)]
    fleet = Fleet(len(online), len(matching), sum(one.free for one in matching))
    nearest = min(candidates, key=lambda one: _distance(one, misses), default=None)
    missed = () if nearest is None else misses[nearest.offer.worker_id]
    return Explained(
        reason=why_queued(fleet),
        workers=len(candidates),
        fleet=fleet,
        failing=dict(sorted(counted.items(), key=lambda item: (-item[1], item[0]))),
        nearest=NearestMiss(nearest.offer.worker_name, missed) if nearest and missed else None,
    )


def _distance(one: Candidate, misses: Mapping[str, tuple[str, ...]]) -> tuple[int, str]:
    return len(misses[one.offer.worker_id]), one.offer.worker_name
