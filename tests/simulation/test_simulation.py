"""A slice of the simulation for every change; `make sim` runs as much of it as you like."""

from datetime import UTC, datetime

import pytest

from tests.simulation import runner
from tests.simulation.runner import Sum

FIXED = range(60)
FRESH = 30


def _fresh() -> range:
    """Return seeds that are others every day."""
    first = 1_000_000 + datetime.now(UTC).date().toordinal() * 1000
    return range(first, first + FRESH)


def _complaint(found: Sum) -> str:
    lines = [
        f"seed {seed}: {violations[0]}\n    make sim-replay SEED={seed}"
        for seed, violations in found.failures.items()
    ]
    return "\n".join(["", *lines])


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("seeds", [FIXED, _fresh()], ids=["fixed", "fresh"])
def test_nothing_is_lost_repeated_or_altered(seeds: range) -> None:
    """Whatever fails, and in whatever order: each promise holds, and everything settles."""
    found = Sum()
    for part in runner.run_beside(seeds, processes=1):
        found.join(part)

    if found.failures:
        pytest.fail(_complaint(found), pytrace=False)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_seed_means_the_same_in_every_process() -> None:
    """Two processes that run the same seeds tell the same story, byte for byte."""
    processes = [runner.begin("traces", "0", "25") for _ in range(2)]
    told = [process.communicate()[0] for process in processes]

    assert [process.returncode for process in processes] == [0, 0]
    assert told[0] == told[1]
