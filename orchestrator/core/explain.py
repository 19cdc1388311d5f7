"""Why a queued job is not running, worker by worker: what each of them fails, and who fails least.

It is the long form of `pending.why_queued`, and says the same.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from orchestrator.core.gates import Gate
from orchestrator.core.matching import Offer, Requirement, lacks
from orchestrator.core.pending import Fleet, why_queued
from orchestrator.core.tags import meant, told
from orchestrator.protocol.words import PendingReason

ONLINE: Final = "online"
FREE_SLOT: Final = "a free slot"
TRUST: Final = "trust (it is in quarantine)"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A worker as it is now."""

    offer: Offer
    online: bool
    free: bool
    barred: bool = False

    def misses(self, requirement: Requirement) -> tuple[str, ...]:
        """Return all that keeps it from being given the job, the hardest to change first."""
        found = lacks(self.offer, requirement)
        if not self.online:
            return (*found, ONLINE)
        if self.barred:
            return (*found, TRUST)
        return found if self.free else (*found, FREE_SLOT)


@dataclass(frozen=True, slots=True)
class NearestMiss:
    """The worker that lacks least."""

    worker: str
    lacks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Explained:
    """Why, how many workers fail each constraint, and who fails least.

    `failing` goes from what most workers fail to what fewest do; `but_for` counts online workers
    that fail nothing else. `meant` has the tags that nobody has, with one that somebody has and
    that looks alike. There is no nearest miss when somebody could take the job, or nobody is there
    at all.
    """

    reason: PendingReason
    workers: int
    fleet: Fleet
    failing: Mapping[str, int]
    nearest: NearestMiss | None
    but_for: Mapping[str, int] = field(default_factory=dict)
    meant: Mapping[str, str] = field(default_factory=dict)


def explain(
    requirement: Requirement, candidates: Sequence[Candidate], gate: Gate | None = None
) -> Explained:
    """Return what keeps a queued job with that requirement, behind that gate, from running."""
    misses = {one.offer.worker_id: one.misses(requirement) for one in candidates}
    counted = Counter(miss for found in misses.values() for miss in found)
    online = [one for one in candidates if one.online]
    lacking = {one.offer.worker_id: lacks(one.offer, requirement) for one in online}
    matching = [one for one in online if not lacking[one.offer.worker_id]]
    barred = sum(one.barred for one in matching)
    free = sum(one.free and not one.barred for one in matching)
    fleet = Fleet(len(online), len(matching), free, barred)
    nearest = min(candidates, key=lambda one: _distance(one, misses), default=None)
    missed = () if nearest is None else misses[nearest.offer.worker_id]
    return Explained(
        reason=why_queued(fleet, gate),
        workers=len(candidates),
        fleet=fleet,
        failing=_most_first(counted),
        nearest=NearestMiss(nearest.offer.worker_name, missed) if nearest and missed else None,
        but_for=_most_first(Counter(one[0] for one in lacking.values() if len(one) == 1)),
        meant=_meant(requirement, candidates, counted),
    )


def _most_first(counted: Counter[str]) -> dict[str, int]:
    return dict(sorted(counted.items(), key=lambda item: (-item[1], item[0])))


def _meant(
    requirement: Requirement, candidates: Sequence[Candidate], counted: Counter[str]
) -> dict[str, str]:
    """Return what was perhaps meant by tags that nobody has."""
    nobodys = [tag for tag in sorted(requirement.tags) if counted[told(tag)] == len(candidates)]
    known = {tag for one in candidates for tag in one.offer.has()} if nobodys else set()
    near = {tag: meant(tag, known) for tag in nobodys}
    return {tag: found for tag, found in near.items() if found is not None}


def _distance(one: Candidate, misses: Mapping[str, tuple[str, ...]]) -> tuple[int, str]:
    return len(misses[one.offer.worker_id]), one.offer.worker_name
