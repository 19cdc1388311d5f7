"""No power cut loses what was promised, and each mistake that would is found out."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash import trace
from tests.crash.mutants import MUTANTS
from tests.crash.story import STORIES, exploration, explore
from tests.support.turns import turn

STATES = 10_000
"""Of each story; `make crash` looks at more."""
MUTANT_STATES = 3_000
TURNS = 4
"""Commits until every state was looked at, and every mistake was looked for.

`make crash` looks at all states at once, and with `ARGS="--mutant …"` for one mistake.
"""

pytestmark = [
    pytest.mark.skipif(trace.available() is not None, reason=str(trace.available())),
    pytest.mark.timeout(400),
    pytest.mark.slow,
]


@pytest.mark.parametrize("story", STORIES)
def test_no_power_cut_loses_what_was_promised(
    story: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Whatever part of the unsynced writes is on the disk, all acknowledged work is there."""
    share = turn(TURNS), TURNS
    findings = exploration(story, tmp_path, seed=1, states=STATES).run(share=share)
    record_property("figures", f"power cuts, {story}: {findings}")
    assert findings.states >= STATES // TURNS
    assert not findings.complaints, "\n".join([str(findings), *findings.complaints])


@pytest.mark.parametrize("mutant", list(MUTANTS)[turn(TURNS) :: TURNS])
def test_a_mistake_in_durability_is_found(mutant: str, tmp_path: Path) -> None:
    """The exploration is worth something: a program with one mistake breaks its promises."""
    story = MUTANTS[mutant].story
    findings = explore(story, tmp_path, seed=1, states=MUTANT_STATES, mutant=mutant)
    assert findings.complaints, f"{mutant} was not found out: {findings}"
