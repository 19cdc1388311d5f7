"""What one worker notices of another one's trouble, in figures: nothing that matters."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks.isolation import GAP_MORE_S, LATENCY_TIMES
from benchmarks.machines import ALONE, QUIET
from benchmarks.troubles import TROUBLES
from tests.support.processes import clean_environment, program, python
from tests.support.source import ROOT

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(sys.platform != "linux", reason="stops processes and reads /proc"),
]

CHANCE = 3


def test_a_worker_does_not_notice_the_trouble_of_its_neighbour(tmp_path: Path) -> None:
    """It crashes, hangs, floods, is refused, has no directory: heartbeats and jobs go on in time.

    Other programs use the same processors, so each figure is held against two: the one from before,
    and that of a worker without any neighbour at the same time. What slows both is not the trouble.
    What chance alone may add to a short run is allowed for; `make bench-isolation` has the figures.
    """
    env = clean_environment(tmp_path, PYTHONPATH=str(ROOT))
    measure = python("-m", "benchmarks.isolation", "--quick", "--json", "--folder", str(tmp_path))

    with program(*measure, env=env, cwd=ROOT) as bench:
        assert bench.wait(timeout_s=280) == 0, bench

    base, *rows = json.loads(bench.stdout)
    assert [row["trouble"] for row in rows] == list(TROUBLES)
    for row in rows:
        gap_s = max(base[QUIET]["gap_worst_s"], row[ALONE]["gap_worst_s"])
        wait_ms = max(base[QUIET]["wait_median_ms"], row[ALONE]["wait_median_ms"])
        assert row["undisturbed"], row
        assert row[QUIET]["gap_worst_s"] < gap_s + CHANCE * GAP_MORE_S, (base, row)
        assert row[QUIET]["wait_median_ms"] <= wait_ms * CHANCE * LATENCY_TIMES, (base, row)
    assert not list(tmp_path.glob(".bench-*"))
