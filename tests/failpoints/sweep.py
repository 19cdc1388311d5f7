"""All trials of a sweep: which faults go together, two trials at a time, and what is still owed.

Faults of several sites share a story, because starting the programs takes most of its time. Which
fault did it is asked afterwards, by a trial of its own. A fault that another one kept from
happening gets a trial of its own as well, so in the end each has happened.
"""

import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from orchestrator.kernel.failpoint_actions import ACTIONS
from orchestrator.kernel.failpoints import SITES
from tests.failpoints.trial import Outcome, attempt
from tests.support.turns import turn

AT_ONCE: Final = 2


@dataclass
class Tally:
    """What a sweep has shown so far."""

    trials: int = 0
    faults: int = 0
    reached: set[str] = field(default_factory=set)
    owed: set[str] = field(default_factory=set)
    """Faults that were asked for and did not happen."""
    broken: list[Outcome] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Count a trial."""
        self.trials += 1
        self.faults += len(outcome.met)
        self.reached |= outcome.reached
        self.owed = (self.owed | set(faults_of(outcome.spec))) - outcome.met
        if outcome.complaints:
            self.broken.append(outcome)

    @property
    def unreached(self) -> list[str]:
        """Return the sites that no trial has reached."""
        return [site for site in SITES if site not in self.reached]

    def __str__(self) -> str:
        return (
            f"{self.faults} faults in {self.trials} stories, {len(self.reached)} of {len(SITES)} "
            f"sites reached, {len(self.broken)} stories with a broken promise"
        )


def faults_of(spec: str) -> list[str]:
    """Return the faults that a trial asks for."""
    return [fault for fault in spec.split(",") if fault]


def grouped(faults: Iterable[str], size: int) -> list[str]:
    """Return specs of about `size` faults each, of sites that are far from one another."""
    listed = list(faults)
    count = -(-len(listed) // size)
    return [",".join(listed[first::count]) for first in range(count)]


def every_fault() -> list[str]:
    """Return every site with every action, one action after the other."""
    return [f"{site}={action}" for action in ACTIONS for site in SITES]


def rotated(count: int) -> list[str]:
    """Return some faults that are no kills, other ones for each commit until all had their turn."""
    faults = [fault for fault in every_fault() if not fault.endswith("=kill")]
    turns = grouped(faults, count)
    return faults_of(turns[turn(len(turns))])


def sweep(specs: list[str], folder: Path, say: Callable[[str], None]) -> Tally:
    """Make every trial, then one for each fault that did not happen; keep what was broken."""
    tally = Tally()
    for wave in (specs, None):
        todo = sorted(tally.owed) if wave is None else wave
        with ThreadPoolExecutor(AT_ONCE) as hands:
            numbers = range(tally.trials, tally.trials + len(todo))
            homes = [folder / f"trial-{number}" for number in numbers]
            for home, outcome in zip(homes, hands.map(attempt, homes, todo), strict=True):
                tally.add(outcome)
                say(str(outcome))
                if not outcome.complaints:
                    shutil.rmtree(home)
    return tally
