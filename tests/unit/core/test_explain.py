"""Why a queued job is not running, worker by worker."""

import pytest

from orchestrator.core.explain import Candidate, NearestMiss, explain
from orchestrator.core.matching import Offer, Requirement, lacks, satisfies
from orchestrator.protocol.words import PendingReason

GPU = Requirement("command", tags=frozenset({"gpu"}))


def _worker(
    name: str,
    *tags: str,
    online: bool = True,
    free: bool = True,
    kinds: tuple[str, ...] = ("command",),
) -> Candidate:
    offer = Offer(f"worker_{name}", name, "linux", frozenset(kinds), frozenset(tags))
    return Candidate(offer, online=online, free=free)


@pytest.mark.parametrize(
    ("requirement", "missing"),
    [
        (Requirement("command"), ()),
        (Requirement("delay"), ("kind delay",)),
        (Requirement("command", frozenset({"gpu", "arm", "a"})), ("tag arm", "tag gpu")),
        (Requirement("command", platform="macos"), ("platform macos",)),
        (Requirement("command", worker="other"), ("name other",)),
        (
            Requirement("x", frozenset({"y"}), "macos", "z"),
            ("kind x", "tag y", "platform macos", "name z"),
        ),
    ],
)
def test_what_a_worker_lacks_is_named(requirement: Requirement, missing: tuple[str, ...]) -> None:
    """Each constraint is told by its own name, and nothing is lacking exactly when all fits."""
    offer = _worker("oak", "a").offer

    assert lacks(offer, requirement) == missing
    assert satisfies(offer, requirement) == (not missing)


def test_the_workers_that_lack_something_are_counted() -> None:
    """Each constraint has the number of workers that fail it, most first; the nearest is named."""
    fleet = [
        _worker("a"),
        _worker("b", kinds=("delay",)),
        _worker("c", "gpu", online=False),
        _worker("d", online=False),
    ]

    found = explain(GPU, fleet)

    assert found.reason is PendingReason.NO_WORKER_MATCHES
    assert dict(found.failing) == {"tag gpu": 3, "online": 2, "kind command": 1}
    assert list(found.failing) == ["tag gpu", "online", "kind command"]
    assert found.nearest == NearestMiss("a", ("tag gpu",))
    assert (found.workers, found.fleet.online, found.fleet.matching) == (4, 2, 0)


@pytest.mark.parametrize(
    ("fleet", "reason", "nearest"),
    [
        ([], PendingReason.NO_WORKER_ONLINE, None),
        (
            [_worker("a", "gpu", online=False)],
            PendingReason.NO_WORKER_ONLINE,
            NearestMiss("a", ("online",)),
        ),
        (
            [_worker("a", "gpu", free=False), _worker("b")],
            PendingReason.ALL_SLOTS_BUSY,
            NearestMiss("a", ("a free slot",)),
        ),
        ([_worker("a", "gpu"), _worker("b")], PendingReason.STARTING, None),
    ],
)
def test_the_reason_is_the_one_that_lists_show(
    fleet: list[Candidate], reason: PendingReason, nearest: NearestMiss | None
) -> None:
    """The long answer never contradicts the short one; who could take it misses nothing."""
    found = explain(GPU, fleet)

    assert (found.reason, found.nearest) == (reason, nearest)
