"""Every site is met once in two runs of the suite; `make failpoints` meets each in every way."""

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.kernel.failpoints import SITES
from tests.failpoints.sweep import grouped, rotated, sweep
from tests.support.turns import turn

TOGETHER = 11
"""Kills of one story: as many as keep the whole test within a minute of a quiet machine."""
TURNS = 2
"""Commits until every site was one at which a program was killed."""
OTHERS = 6
"""Faults of other kinds, in a story of their own: other ones with each commit."""


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_a_kill_at_any_site_breaks_no_promise(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Whichever step is the last one of a program, every promise is kept by those after it."""
    sites = list(SITES)[turn(TURNS) :: TURNS]
    kills = grouped([f"{site}=kill" for site in sites], TOGETHER)
    others = ",".join(rotated(OTHERS))

    tally = sweep([*kills, others], tmp_path, lambda _: None)

    record_property("figures", f"failpoints: {tally}")
    assert not tally.broken, "\n".join(map(str, tally.broken))
    assert tally.reached >= set(sites)
    assert not tally.owed
