"""Chaos, a little of it: what can be killed is killed, and every promise is kept."""

import sys
from pathlib import Path

import pytest

from tests.chaos.course import Course, run
from tests.chaos.cycles import run_cycles
from tests.chaos.figures import Figures, figures, text
from tests.chaos.judge import judge
from tests.chaos.nemesis import TARGETS

SEED = 20261121
CYCLES = 15
ENOUGH = 40
"""Kills that land while an attempt is leased."""


@pytest.mark.timeout(400)
def test_a_minute_of_kills_breaks_no_promise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Server, supervisor, launcher, nursery and worker are killed while they hold attempts."""
    told = _chaos(Course(60, SEED, tmp_path / "run"), capsys)

    assert sum(told.leased_kills[target] for target in TARGETS) >= ENOUGH
    assert all(told.leased_kills[target] for target in TARGETS)


@pytest.mark.timeout(400)
def test_it_is_the_same_on_postgresql(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The database itself is killed as well, and its connections are cut."""
    told = _chaos(Course(30, SEED, tmp_path / "run", "postgresql"), capsys)

    assert sum(told.leased_kills[target] for target in TARGETS) >= ENOUGH / 4


def _chaos(course: Course, capsys: pytest.CaptureFixture[str]) -> Figures:
    """Make a run, print its figures, and return them if no promise was broken."""
    found = run(course, lambda _: None)
    verdict, told = judge(found), figures(found)
    with capsys.disabled():
        sys.stdout.write(f"\n{text(told)}\n{verdict}\n")
    assert verdict.is_clean, str(verdict)
    return told


def test_a_job_outlives_one_worker_after_another(tmp_path: Path) -> None:
    """Its worker is killed at any moment, again and again: one process, one try, every line."""
    tally = run_cycles(CYCLES, seed=SEED, folder=tmp_path / "run", say=lambda _: None)

    assert (tally.kills, tally.complaints) == (CYCLES, [])
    assert tally.lines > CYCLES
