"""Runs that are stopped go on where they were, and add up as long as the code is the same."""

from itertools import islice
from pathlib import Path

import pytest

from tests.simulation.crew import Crew
from tests.simulation.record import Record, Run, code_hash, load, merged, undone
from tests.simulation.runner import Sum


def test_a_run_that_was_stopped_goes_on_where_it_was(tmp_path: Path) -> None:
    """What was run is not run again; what is in between is."""
    state = tmp_path / "state.json"
    run = Run("1234567", "2026-01-02 03:04:05Z", 2)
    for first in (0, 100):
        found = Sum(seeds=50, events=7)
        run.add(range(first, first + 50), found, 10.0)
    record = Record("code", [run])
    record.whole.join(Sum(seeds=100, failures={"101": ["I1: lost"]}))
    record.save(state)

    known = load(state, "code")

    assert known.done() == [[0, 50], [100, 150]]
    assert known.whole.failures == {"101": ["I1: lost"]}
    assert known.runs == [run]
    assert known.runs[0].rate == 10.0
    wanted = list(islice(undone(known.done(), 0, 50), 3))
    assert wanted == [range(50, 100), range(150, 200), range(200, 250)]


def test_runs_of_other_code_do_not_count(tmp_path: Path) -> None:
    """They are put aside, because they say nothing about this one."""
    state = tmp_path / "state.json"
    Record("old", [Run("1234567", "", 2, ranges=[[0, 50]])]).save(state)

    assert load(state, "new").done() == []
    assert load(tmp_path / "state-old.json", "old").done() == [[0, 50]]


def test_ranges_that_touch_are_one() -> None:
    """However the chunks have ended, in whatever order."""
    assert merged([[50, 100], [200, 250], [0, 50], [90, 120]]) == [[0, 120], [200, 250]]


def test_only_what_decides_in_a_world_changes_the_code(tmp_path: Path) -> None:
    """A document, a test or a planted bug takes no run back; a program does."""
    for name in ("worker/a.py", "orchestrator/b.sql", "tests/simulation/mutants.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("1")
    before = code_hash(tmp_path)

    (tmp_path / "tests/simulation/mutants.py").write_text("2")
    (tmp_path / "worker/notes.md").write_text("2")
    same = code_hash(tmp_path)
    (tmp_path / "orchestrator/b.sql").write_text("2")

    assert before == same
    assert code_hash(tmp_path) != before


@pytest.mark.slow
def test_a_crew_runs_each_chunk_once() -> None:
    """Two processes share the seeds, and leave nobody behind."""
    chunks = [range(first, first + 1) for first in range(4)]

    found = dict(Crew(chunks, 2, until=float("inf")).results())

    assert sorted(found, key=lambda chunk: chunk.start) == chunks
    assert all(part.seeds == 1 and not part.failures for part in found.values())
