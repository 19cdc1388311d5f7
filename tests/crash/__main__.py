"""`make crash`: cut the power in stories of the server and of a worker, and print what came of it.

It records a story, looks at its states on every core, and begins another story until the number of
states that was asked for is reached, with those of earlier runs of the same commit. It can be
stopped and goes on; several runs from different seeds add up. It ends with 1 if any state broke a
promise.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.crash import trace
from tests.crash.mutants import MUTANTS, NONE
from tests.crash.story import STORIES, explore
from tests.crash.tally import FOLDER, Tally

INTERRUPTED = 130


def main() -> int:
    """Explore, and say what was found."""
    options = _options()
    why_not = trace.available()
    if why_not:
        print(f"nothing can be recorded here: {why_not}", file=sys.stderr)
        return 75
    commit = _commit()
    print(f"commit {commit}, seed {options.seed}, mutant {options.mutant}", flush=True)
    tally = Tally(commit, FOLDER if options.mutant == NONE else None)
    interrupted = False
    try:
        for name in options.story or list(STORIES):
            _look_at(name, options, tally)
    except KeyboardInterrupt:
        interrupted = True
    worst = max([_tell(name, tally) for name in options.story or list(STORIES)])
    if interrupted:
        print("stopped: the same command goes on behind the last whole story", flush=True)
    return INTERRUPTED if interrupted else worst


def _look_at(name: str, options: argparse.Namespace, tally: Tally) -> None:
    """Tell stories that were not told before, until so many states were looked at in all."""
    while (done := tally.sum(name).states) < options.states:
        seed, began = tally.next_seed(name, options.seed), time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            part = explore(
                name, Path(folder), seed=seed, mutant=options.mutant,
                states=min(options.states - done, options.story_states),
                processes=options.processes,
            )  # fmt: skip
        tally.add(name, seed, part)
        print(f"{name}, story {seed}: {part}, in {time.monotonic() - began:.0f} s", flush=True)


def _tell(name: str, tally: Tally) -> int:
    """Print what came of all stories of a name; return 1 if a promise was broken."""
    total, seeds = tally.sum(name), tally.seeds(name)
    if not seeds:
        return 0
    print(f"{name}, {len(seeds)} stories, seeds {seeds[0]} to {seeds[-1]}: {total}")
    for complaint in total.complaints:
        print(f"  {complaint}")
    return int(bool(total.complaints))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make crash ARGS=…", description=__doc__)
    parser.add_argument("--states", type=int, default=20_000, help="of each story, in all runs")
    parser.add_argument("--story-states", type=int, default=20_000, help="before a new story")
    parser.add_argument("--seed", type=int, default=1, help="begin with the story of that seed")
    parser.add_argument("--story", action="append", choices=list(STORIES))
    parser.add_argument("--mutant", default=NONE, choices=[NONE, *MUTANTS])
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    return parser.parse_args()


def _commit() -> str:
    said = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return said.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())
