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

OF_WORKERS = (
    "all ready at the first start ever, s",
    "all ready, s",
    "idle: all of it, % of a core",
    "PSS of all, MiB",
    "one more: until it is ready, ms",
    "one changed: until it is ready, ms",
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


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_it_knows_what_an_orchestrator_says_of_its_workers(tmp_path: Path) -> None:
    """It starts some twice, adds one and changes one, and each has its figure."""
    env = clean_environment(tmp_path, PYTHONPATH=str(ROOT))
    measure = python("-m", "benchmarks.supervision", "--alone", "--folder", str(tmp_path))

    with program(*measure, env=env, cwd=ROOT) as bench:
        assert bench.wait(timeout_s=100) == 0, bench

    rows = [line.split("|")[1].strip() for line in bench.stdout.splitlines() if "|" in line]
    assert set(OF_WORKERS) <= set(rows)
    assert not list(tmp_path.glob(".bench-*"))
