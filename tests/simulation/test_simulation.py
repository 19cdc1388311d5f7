"""A slice of the simulation for every change; `make sim` runs as much of it as you like."""

import math
import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from tests.simulation import runner
from tests.simulation.crew import Crew, chunks
from tests.simulation.faults import FAULTS, OF_THEMES
from tests.simulation.regressions import STORIES
from tests.simulation.runner import Sum
from tests.simulation.sometimes import missing
from tests.support.turns import turn

FIXED = 200
FRESH = 1800
FRESH_S = 15.0
"""Fresh seeds are begun for so long: a slow machine runs fewer of them."""
TRACES = 8
"""Stories that are compared word for word: what depends on the process shows in most of them."""
PROCESSES = 2
TURNS = 6
"""Commits until every planted bug was looked for; `make sim-mutants` looks for all of them."""
PATIENCE_S = 1800
"""What has no such end takes a quarter of a minute, and many times that on a busy machine."""


def _fresh() -> range:
    """Return seeds that are others every day."""
    first = 1_000_000 + datetime.now(UTC).date().toordinal() * FRESH
    return range(first, first + FRESH)


def _complaint(found: Sum) -> str:
    lines = [
        f"seed {seed}: {violations[0]}\n    make sim-replay SEED={seed}"
        for seed, violations in found.failures.items()
    ]
    return "\n".join(["", *lines])


@pytest.mark.slow
@pytest.mark.timeout(PATIENCE_S)
def test_nothing_is_lost_repeated_or_altered(
    record_property: Callable[[str, object], None],
) -> None:
    """Whatever fails, and in whatever order: each promise holds, everything settles, all is met."""
    found = Sum()
    for _, part in Crew(chunks(range(FIXED)), PROCESSES, until=math.inf).results():
        found.join(part)

    record_property("figures", f"simulation, fixed seeds: {found}")
    if found.failures:
        pytest.fail(_complaint(found), pytrace=False)
    assert not missing(set(found.seen))
    assert set(FAULTS | OF_THEMES) <= set(found.injected)


@pytest.mark.slow
@pytest.mark.timeout(PATIENCE_S)
def test_nothing_is_lost_that_nobody_tried_before(
    record_property: Callable[[str, object], None],
) -> None:
    """The same for seeds that are others every day, as many as there is time for."""
    found = Sum()
    end = time.monotonic() + FRESH_S
    for _, part in Crew(chunks(_fresh()), PROCESSES, until=end).results():
        found.join(part)

    record_property("figures", f"simulation, fresh seeds: {found}")
    if found.failures:
        pytest.fail(_complaint(found), pytrace=False)
    assert found.seeds > 0


@pytest.mark.slow
@pytest.mark.timeout(PATIENCE_S)
def test_what_was_found_once_is_not_found_again() -> None:
    """Each seed that has a story of its own is run for ever."""
    found = runner.run_in_one(sorted(STORIES))

    if found.failures:
        pytest.fail(_complaint(found), pytrace=False)
    assert found.seeds == len(STORIES)


@pytest.mark.slow
@pytest.mark.timeout(PATIENCE_S)
def test_planted_bugs_are_found() -> None:
    """A simulation that finds nothing may be blind: this one sees each mistake, some at a time."""
    parts = TURNS * PROCESSES
    some = range(turn(TURNS), parts, TURNS)
    processes = [runner.begin("mutants", str(part), str(parts)) for part in some]
    told = [process.communicate()[0] for process in processes]

    assert [process.returncode for process in processes] == [0] * PROCESSES, "".join(told)


@pytest.mark.slow
@pytest.mark.timeout(PATIENCE_S)
def test_a_seed_means_the_same_in_every_process() -> None:
    """Two processes that run the same seeds tell the same story, byte for byte."""
    processes = [runner.begin("traces", "0", str(TRACES)) for _ in range(2)]
    told = [process.communicate()[0] for process in processes]

    assert [process.returncode for process in processes] == [0, 0]
    assert told[0] == told[1]
    assert len(told[0].splitlines()) == TRACES
