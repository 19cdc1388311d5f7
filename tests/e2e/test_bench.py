"""The benchmark measures what it says, and leaves nothing behind."""

import sys
from pathlib import Path

import pytest

from tests.support.processes import clean_environment, program, python
from tests.support.source import ROOT

FIGURES = (
    "command jobs, end to end, durable",
    "no-op jobs (delay 0), end to end, durable",
    "submit → started, p50",
    "submit → started, p99",
    "submit → finish seen by the submitter, p50",
    "memory at rest: worker",
    "memory of each running job (its shim)",
)


@pytest.mark.skipif(sys.platform != "linux", reason="pins processes and reads /proc")
def test_it_prints_every_figure_against_the_yardstick(tmp_path: Path) -> None:
    """A quick run ends by itself with the whole table, and its folder is gone."""
    env = clean_environment(tmp_path, PYTHONPATH=str(ROOT))
    measure = python("-m", "benchmarks", "--quick", "--folder", str(tmp_path))

    with program(*measure, env=env, cwd=ROOT) as bench:
        assert bench.wait(timeout_s=100) == 0, bench

    rows = [line.split("|")[1].strip() for line in bench.stdout.splitlines() if "|" in line]
    assert set(FIGURES) <= set(rows)
    assert "yardstick:" in bench.stdout
    assert not list(tmp_path.glob(".bench-*"))
