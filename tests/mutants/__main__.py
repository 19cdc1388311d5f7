"""`make mutants`: plant each mistake in a copy of this checkout, and see that its tests turn red.

It ends with 1 if one is not found. Nothing of the copies is left.
"""

import argparse
import fnmatch
import signal
import sys
import time
from collections import Counter

from tests.mutants.hunt import hunt
from tests.mutants.mutant import Mutant
from tests.mutants.registry import MUTANTS

JOBS = 2
_TERMINATED = 143


def main() -> int:
    """Look for all that were asked for, and say which were found."""
    told = _arguments()
    chosen = [mutant for mutant in MUTANTS.values() if _is_meant(mutant, told)]
    if not chosen:
        print("there is no such mutant: `--list` shows them", file=sys.stderr)
        return 2
    if told.list:
        for mutant in chosen:
            print(f"{mutant.name:40} {', '.join(mutant.breaks):24} {mutant.file}")
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_TERMINATED))
    began = time.monotonic()
    with hunt(told.jobs, lambda words: print(words, flush=True)) as pack:
        pack.check(chosen)
        found = pack.run(chosen)
    print("\n" + "\n".join(str(each) for each in sorted(found, key=lambda each: each.verdict)))
    counts = Counter(each.verdict for each in found)
    words = ", ".join(f"{number} {verdict}" for verdict, number in counts.most_common())
    print(f"{len(found)} mutants: {words}; in {time.monotonic() - began:.0f} s")
    return int(any(not each.good for each in found))


def _is_meant(mutant: Mutant, told: argparse.Namespace) -> bool:
    named = not told.only or any(fnmatch.fnmatch(mutant.name, each) for each in told.only)
    broken = not told.sentence or any(
        fnmatch.fnmatch(number, each) for number in mutant.breaks for each in told.sentence
    )
    return named and broken


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make mutants ARGS=…", description=__doc__)
    parser.add_argument("--only", action="append", help="only this name, or those of a pattern")
    parser.add_argument("--sentence", action="append", help="only who breaks G7.1, or G7.*")
    parser.add_argument("--jobs", type=int, default=JOBS, help="how many at once")
    parser.add_argument("--list", action="store_true", help="show them, and run nothing")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
