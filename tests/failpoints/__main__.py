"""`make failpoints`: every site with every action, on the story of real programs, before a judge.

It ends with 1 if a promise was broken, if a site was not reached, or if a fault did not happen. The
files of a story with a broken promise are kept.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from orchestrator.kernel.failpoint_actions import ACTIONS
from orchestrator.kernel.failpoints import SITES
from tests.failpoints.sweep import every_fault, grouped, sweep

TOGETHER = 3
"""Faults of one story: few enough to see which one did it."""


def main() -> int:
    """Make all trials that were asked for, and say what came of them."""
    told = _arguments()
    faults = [
        fault
        for fault in every_fault()
        if (not told.site or fault.partition("=")[0] in told.site)
        and (not told.action or fault.partition("=")[2] in told.action)
    ]
    specs = told.spec or grouped(faults, told.together)
    folder = Path(tempfile.mkdtemp(prefix="failpoints-", dir=told.folder))
    began = time.monotonic()
    tally = sweep(specs, folder, lambda words: print(words, flush=True))
    print(f"{tally}, in {time.monotonic() - began:.0f} s")
    missing = [] if told.site or told.spec else tally.unreached
    for site in missing:
        print(f"{site}: the story does not reach it")
    for fault in sorted(tally.owed):
        print(f"{fault}: did not happen")
    if tally.broken:
        print(f"what was broken is kept in {folder}")
    return int(bool(tally.broken or missing or tally.owed))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make failpoints ARGS=…", description=__doc__)
    parser.add_argument("--site", action="append", choices=SITES, help="only this one")
    parser.add_argument("--action", action="append", choices=ACTIONS, help="only this one")
    parser.add_argument("--spec", action="append", help="one story with exactly these faults")
    parser.add_argument("--together", type=int, default=TOGETHER, help="faults of one story")
    parser.add_argument("--folder", type=Path, help="make the folder of the sweep below this one")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
