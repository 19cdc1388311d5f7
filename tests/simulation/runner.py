"""Many seeds: added up, and each failure told with the command that shows it again.

Programs run this, so it prints. Hashes of text are the same in every process (PYTHONHASHSEED), as
the order in a set of texts may decide what happens first.
"""

import json
import math
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.simulation.mutants import MUTANTS
from tests.simulation.seed import Laboratory, Options, Verdict, options_of

ROOT: Final = Path(__file__).parents[2]


@dataclass(slots=True)
class Sum:
    """What many seeds came to."""

    seeds: int = 0
    events: int = 0
    seconds: float = 0.0
    injected: Counter[str] = field(default_factory=Counter)
    seen: Counter[str] = field(default_factory=Counter)
    failures: dict[str, list[str]] = field(default_factory=dict)

    def add(self, verdict: Verdict) -> None:
        """Count one more."""
        self.seeds += 1
        self.events += verdict.events
        self.seconds += verdict.seconds
        self.injected += verdict.injected
        self.seen += Counter(list(verdict.seen))
        if verdict.violations:
            self.failures[str(verdict.options.seed)] = verdict.violations[:5]

    def join(self, other: "Sum") -> None:
        """Count all of another sum."""
        self.seeds += other.seeds
        self.events += other.events
        self.seconds += other.seconds
        self.injected += other.injected
        self.seen += other.seen
        self.failures |= other.failures

    def __str__(self) -> str:
        """Return it in a line for people."""
        return (
            f"{self.seeds} seeds, {self.events} events, {sum(self.injected.values())} faults of "
            f"{len(self.injected)} kinds, {len(self.seen)} states that matter, "
            f"{len(self.failures)} failures"
        )

    def to_json(self) -> str:
        """Return it as text."""
        return json.dumps(
            {
                "seeds": self.seeds,
                "events": self.events,
                "seconds": self.seconds,
                "injected": self.injected,
                "seen": self.seen,
                "failures": self.failures,
            }
        )

    @classmethod
    def of(cls, text: str) -> "Sum":
        """Return what `to_json` gave."""
        told: dict[str, Any] = json.loads(text)
        return cls(
            seeds=told["seeds"],
            events=told["events"],
            seconds=told["seconds"],
            injected=Counter(told["injected"]),
            seen=Counter(told["seen"]),
            failures=told["failures"],
        )


def run_here(
    seeds: Iterable[int], laboratory: Laboratory | None = None, *, seconds: float = math.inf
) -> Sum:
    """Run some seeds in this process, and begin none after so many seconds."""
    found = Sum()
    end = time.monotonic() + seconds
    laboratory = laboratory or Laboratory()
    for seed in seeds:
        found.add(laboratory.run(options_of(seed)))
        if time.monotonic() > end:
            break
    return found


def found(name: str, seeds: Iterable[int]) -> Verdict | None:
    """Return the first seed's verdict that finds a planted bug: by a promise that it breaks."""
    laboratory = Laboratory()
    for seed in seeds:
        verdict = laboratory.run(options_of(seed), plant=MUTANTS[name].plant)
        if verdict.violations and not verdict.violations[0].startswith("crash"):
            return verdict
    return None


def verdicts(seeds: Iterable[int]) -> Iterator[Verdict]:
    """Yield what comes of each seed."""
    laboratory = Laboratory()
    for seed in seeds:
        yield laboratory.run(options_of(seed))


def environment() -> dict[str, str]:
    """Return that of a process in which seeds mean the same as in any other."""
    return {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": str(ROOT)}


def begin(*arguments: str) -> "subprocess.Popen[str]":
    """Start a process of this package that prints its sum."""
    command = [sys.executable, "-m", "tests.simulation", *arguments]
    return subprocess.Popen(command, env=environment(), cwd=ROOT, stdout=subprocess.PIPE, text=True)


def run_in_one(seeds: Iterable[int]) -> Sum:
    """Run some seeds in a process of their own."""
    process = begin("these", *map(str, seeds))
    text, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"the seeds' process ended with {process.returncode}")
    return Sum.of(text)


def replayed(seed: int, options: Options | None = None) -> Verdict:
    """Run one seed with its story."""
    return Laboratory().run(options or options_of(seed), telling=True)


def commit() -> str:
    """Return what is checked out, for reports."""
    asked = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.stdout.strip() or "unknown"
