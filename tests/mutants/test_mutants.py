"""The planted mistakes are still mistakes, and some of them are looked for in each run.

`make mutants` looks for all of them.
"""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tests.mutants import cage
from tests.mutants.hunt import Finding, hunt
from tests.mutants.mutant import Mutant
from tests.mutants.registry import MUTANTS
from tests.support import documents
from tests.support.source import ROOT
from tests.support.turns import turn

SOME = 5
"""In one run of the suite."""
SOME_S = 25.0
"""No more of them are begun after so long, because a machine may be slow."""


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mistake_can_still_be_made(name: str) -> None:
    """Its place is there, once; what stands there then is a program; its tests are there."""
    mutant = MUTANTS[name]

    text = mutant.applied(ROOT)

    compile(text, mutant.file, "exec")
    assert mutant.tests
    assert {test.partition("[")[0] for test in mutant.tests} <= documents.test_ids()


def _some() -> list[Mutant]:
    """Return others with each commit, until all had their turn."""
    turns = -(-len(MUTANTS) // SOME)
    return list(MUTANTS.values())[turn(turns) :: turns]


def test_nobody_of_a_caged_command_is_left(tmp_path: Path) -> None:
    """Its exit code is told, or that it took too long; whoever it left is gone in either case."""
    script = "setsid sleep 1000 & echo $!; {}"

    ended = _caged(tmp_path, script.format("exit 3"), seconds=20)
    late = _caged(tmp_path, script.format("sleep 1000"), seconds=0.5)

    assert [code for code, _ in (ended, late)] == [3, cage.OUT_OF_TIME]
    assert not any(psutil.pid_exists(pid) for _, pid in (ended, late))


def _caged(folder: Path, script: str, *, seconds: float) -> tuple[int, int]:
    """Return the exit code of a script, and the number that it says."""
    process = cage.begin(["sh", "-c", script], cwd=folder, env=os.environ, seconds=seconds)
    said, _ = process.communicate(timeout=20)
    return process.returncode, int(said)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_is_no_mistake_is_not_found() -> None:
    """A hunt can fail: for what changes nothing, and for what cannot even be imported."""
    told = "    return latest if latest >= floor else -1\n"
    one = Mutant(
        name="",
        breaks=(),
        file="orchestrator/core/lease.py",
        old=told,
        new=told.replace("latest >= floor", "floor <= latest"),
        tests=("tests/unit/core/test_rules.py::test_no_lease_is_over_within_one_of_the_start",),
    )

    with hunt(1, lambda _: None) as pack:
        pack.check([one])
        found = pack.run([one, replace(one, new="import nothing_of_this_name\n")])

    assert [finding.verdict for finding in found] == ["NOT FOUND", "DOES NOT RUN"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_some_mistakes_are_found(record_property: Callable[[str, object], None]) -> None:
    """What is planted in a copy of this checkout turns the tests red that are said to find it."""
    said: list[str] = []
    found: list[Finding] = []

    with hunt(1, said.append) as pack:
        end = time.monotonic() + SOME_S
        for mutant in _some():
            if not found or time.monotonic() < end:
                pack.check([mutant])
                found += pack.run([mutant])

    names = ", ".join(finding.mutant.name for finding in found)
    record_property("figures", f"mutants: {len(found)} of {len(MUTANTS)} looked for: {names}")
    assert all(finding.good for finding in found), "\n".join(said)
