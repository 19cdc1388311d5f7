"""`make crash`: cut the power in stories of the server and of a worker, and print what came of it.

It records a story, looks at its states on every core, and begins another story until the number of
states that was asked for is reached. It ends with 1 if any state broke a promise.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.crash import trace
from tests.crash.explore import Findings
from tests.crash.mutants import MUTANTS, NONE
from tests.crash.story import STORIES, explore


def main() -> int:
    """Explore, and say what was found."""
    options = _options()
    why_not = trace.available()
    if why_not:
        print(f"nothing can be recorded here: {why_not}", file=sys.stderr)
        return 75
    print(f"commit {_commit()}, seed {options.seed}, mutant {options.mutant}", flush=True)
    worst = 0
    for name in options.story or list(STORIES):
        total, began, seed = Findings(), time.monotonic(), options.seed
        while total.states < options.states:
            with tempfile.TemporaryDirectory() as folder:
                part = explore(
                    name, Path(folder), seed=seed, mutant=options.mutant,
                    states=min(options.states, options.story_states), processes=options.processes,
                )  # fmt: skip
            total += part
            seed += 1
            print(f"{name}, story {seed - 1}: {part}", flush=True)
        print(f"{name}: {total}, in {time.monotonic() - began:.0f} s")
        for complaint in total.complaints:
            print(f"  {complaint}")
        worst |= bool(total.complaints)
    return worst


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make crash ARGS=…", description=__doc__)
    parser.add_argument("--states", type=int, default=20_000, help="of each story")
    parser.add_argument("--story-states", type=int, default=20_000, help="before a new story")
    parser.add_argument("--seed", type=int, default=1)
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
