"""Which worker may run which job.

Many jobs ask for the same, so what they ask for is interned as a *requirement*: a session is
matched once against each distinct requirement, and a claim then looks up plain numbers.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a worker must have: all of it. `worker` is a worker's name or id."""

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


def satisfies(offer: Offer, requirement: Requirement) -> bool:
    """Tell whether that session may be given a job with that requirement."""
    return (
        requirement.kind in offer.kinds
        and requirement.tags <= offer.tags
        and requirement.platform in {None, offer.platform}
        and requirement.worker in {None, offer.worker_id, offer.worker_name}
    )


def lacks(offer: Offer, requirement: Requirement) -> tuple[str, ...]:
    """Return what that session does not have of what is required: nothing, if it satisfies it."""
    found = [] if requirement.kind in offer.kinds else [f"kind {requirement.kind}"]
    found += [f"tag {tag}" for tag in sorted(requirement.tags - offer.tags)]
    if requirement.platform not in {None, offer.platform}:
        found.append(f"platform {requirement.platform}")
    if requirement.worker not in {None, offer.worker_id, offer.worker_name}:
        found.append(f"name {requirement.worker}")
    return tuple(found)
