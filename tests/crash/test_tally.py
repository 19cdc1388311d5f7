"""Runs of `make crash` add up."""

from pathlib import Path

from tests.crash.explore import Findings
from tests.crash.tally import Tally


def test_runs_of_one_commit_add_up(tmp_path: Path) -> None:
    """Whoever goes on, or ran beside, finds what was looked at, and no story counts twice."""
    first, beside = Tally("abc", tmp_path), Tally("abc", tmp_path)
    first.add("worker", 1, Findings(states=10, distinct=8, cuts=4, promises=3))
    beside.add("worker", 100, Findings(states=5, cuts=2, faulty=1, complaints=["cut 7: lost"]))
    beside.add("server", 1, Findings(states=90, cuts=9))

    again = Tally("abc", tmp_path)
    again.add("worker", 1, Findings(states=10, distinct=8, cuts=4, promises=3))

    for tally in (first, beside, again):
        total = tally.sum("worker")
        assert (total.states, total.distinct, total.cuts, total.promises) == (15, 8, 6, 3)
        assert (total.faulty, total.complaints) == (1, ["cut 7: lost"])
        assert tally.seeds("worker") == [1, 100]
        assert [tally.next_seed("worker", seed) for seed in (1, 2, 100)] == [2, 2, 101]
    assert Tally("abd", tmp_path).sum("worker").states == 0


def test_what_is_not_committed_is_not_kept(tmp_path: Path) -> None:
    """It has no name under which a later run could add to it; it is summed up all the same."""
    tally = Tally("abc-dirty", tmp_path)
    tally.add("worker", 1, Findings(states=10))

    assert tally.sum("worker").states == 10
    assert Tally("abc-dirty", tmp_path).sum("worker").states == 0
    assert list(tmp_path.iterdir()) == []
