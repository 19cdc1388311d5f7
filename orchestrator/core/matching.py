"""Which worker may run which job.

Many jobs ask for the same, so what they ask for is interned as a *requirement*: a session is
matched once against each distinct requirement, and a claim then looks up plain numbers.
"""

from dataclasses import dataclass
from functools import lru_cache

from orchestrator.core.tags import Have, believed, built_in, by_name, meets, told


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a worker must have: all of it. `tags` are clauses; `worker` is a worker's name or id."""

    kind: str
    tags: frozenset[str] = frozenset()
    platform: str | None = None
    worker: str | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """What a session brings."""

    worker_id: str
    worker_name: str
    platform: str
    kinds: frozenset[str]
    tags: frozenset[str] = frozenset()
    arch: str = ""

    def has(self) -> frozenset[str]:
        """Return its tags, the built-in ones included."""
        names = {self.worker_id, self.worker_name}
        own = built_in(platform=self.platform, arch=self.arch, kinds=self.kinds, names=names)
        return believed(self.tags) | own


def satisfies(offer: Offer, requirement: Requirement) -> bool:
    """Tell whether that session may be given a job with that requirement."""
    return (
        requirement.kind in offer.kinds
        and not _unmet(offer, requirement)
        and requirement.platform in {None, offer.platform}
        and requirement.worker in {None, offer.worker_id, offer.worker_name}
    )


def lacks(offer: Offer, requirement: Requirement) -> tuple[str, ...]:
    """Return what that session does not have of what is required: nothing, if it satisfies it."""
    found = [] if requirement.kind in offer.kinds else [f"kind {requirement.kind}"]
    found += [told(clause) for clause in sorted(_unmet(offer, requirement))]
    if requirement.platform not in {None, offer.platform}:
        found.append(f"platform {requirement.platform}")
    if requirement.worker not in {None, offer.worker_id, offer.worker_name}:
        found.append(f"name {requirement.worker}")
    return tuple(found)


def _unmet(offer: Offer, requirement: Requirement) -> list[str]:
    return [clause for clause in requirement.tags if not meets(_have(offer), clause)]


@lru_cache(maxsize=1024)
def _have(offer: Offer) -> Have:
    return by_name(offer.has())
