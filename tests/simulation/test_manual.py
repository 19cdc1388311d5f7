"""What the manual says of the simulation is what there is."""

from tests.simulation.faults import FAULTS
from tests.simulation.mutants import MUTANTS
from tests.support.source import ROOT


def test_the_manual_lists_every_planted_bug_with_its_seed() -> None:
    """The table in docs/reliability.md is the list of mutants."""
    manual = (ROOT / "docs" / "reliability.md").read_text()

    rows = [f"| {name} | {one.what} | {one.seed} |" for name, one in MUTANTS.items()]

    assert [row for row in rows if row not in manual] == []
    assert f"some of the {len(FAULTS)} kinds" in manual
