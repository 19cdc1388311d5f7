"""The planted mistakes are still mistakes, and some of them are looked for in each run.

`make mutants` looks for all of them.
"""

import subprocess
import time
from collections.abc import Callable

import pytest

from tests.mutants.hunt import hunt
from tests.mutants.mutant import Mutant
from tests.mutants.registry import MUTANTS
from tests.support import documents
from tests.support.source import ROOT

SOME = 5
"""In one run of the suite."""
SOME_S = 30.0
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
    told = subprocess.run(
        ["git", "rev-list", "--count", "HEAD"], cwd=ROOT, capture_output=True, check=False
    )
    turns = -(-len(MUTANTS) // SOME)
    return list(MUTANTS.values())[int(told.stdout or 0) % turns :: turns]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_some_mistakes_are_found(record_property: Callable[[str, object], None]) -> None:
    """What is planted in a copy of this checkout turns the tests red that are said to find it."""
    said: list[str] = []
    began = time.monotonic()

    with hunt(2, said.append) as pack:
        chosen = _some()
        pack.check(chosen)
        found = pack.run(chosen, until=began + SOME_S)

    names = ", ".join(finding.mutant.name for finding in found)
    record_property("figures", f"mutants: {len(found)} of {len(MUTANTS)} looked for: {names}")
    assert found
    assert all(finding.good for finding in found), "\n".join(said)
