"""Chaos, a little of it: what can be killed is killed, and every promise is kept."""

from collections.abc import Callable
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

Record = Callable[[str, object], None]


@pytest.mark.timeout(400)
def test_a_minute_of_kills_breaks_no_promise(tmp_path: Path, record_property: Record) -> None:
    """Server, supervisor, launcher, nursery and worker are killed while they hold attempts."""
    told = _chaos(Course(80, SEED, tmp_path / "run"), record_property)

    assert sum(told.leased_kills[target] for target in TARGETS) >= ENOUGH
    assert all(told.leased_kills[target] for target in TARGETS)


@pytest.mark.timeout(400)
def test_it_is_the_same_on_postgresql(tmp_path: Path, record_property: Record) -> None:
    """The database itself is killed as well, and its connections are cut."""
    told = _chaos(Course(30, SEED, tmp_path / "run", "postgresql"), record_property)

    assert sum(told.leased_kills[target] for target in TARGETS) >= ENOUGH / 4


def _chaos(course: Course, record: Record) -> Figures:
    """Make a run, note its figures, and return them if no promise was broken."""
    found = run(course, lambda _: None)
    verdict, told = judge(found), figures(found)
    record("figures", f"chaos, {course.seconds:g} s, {course.database}\n{text(told)}\n{verdict}")
    assert verdict.is_clean, str(verdict)
    return told


def test_a_job_outlives_one_worker_after_another(tmp_path: Path, record_property: Record) -> None:
    """Its worker is killed at any moment, again and again: one process, one try, every line."""
    tally = run_cycles(CYCLES, seed=SEED, folder=tmp_path / "run", say=lambda _: None)

    record_property("figures", f"cycles: {tally.kills} kills of a worker, {tally.lines} lines")
    assert (tally.kills, tally.complaints) == (CYCLES, [])
    assert tally.lines > CYCLES
