"""Chaos, a little of it: what can be killed is killed, and every promise is kept."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos.course import Course, run
from tests.chaos.cycles import run_cycles
from tests.chaos.figures import Figures, figures, text
from tests.chaos.judge import judge
from tests.chaos.nemesis import TARGETS
from tests.support.turns import turn

SEED = 20261121
CYCLES = 15
COURSES = (("sqlite", 80, 40), ("postgresql", 60, 20))
"""Databases, one commit after the other: seconds, and kills that land while an attempt is leased.

`make chaos` takes either for as long as you like.
"""

Record = Callable[[str, object], None]


@pytest.mark.timeout(400)
def test_a_minute_of_kills_breaks_no_promise(tmp_path: Path, record_property: Record) -> None:
    """Server, supervisor, launcher, nursery and worker are killed while they hold attempts.

    On PostgreSQL the database itself is killed as well, and its connections are cut.
    """
    database, seconds, enough = COURSES[turn(len(COURSES))]

    told = _chaos(Course(seconds, SEED, tmp_path / "run", database), record_property)

    assert sum(told.leased_kills[target] for target in TARGETS) >= enough
    assert all(told.leased_kills[target] for target in TARGETS)


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
