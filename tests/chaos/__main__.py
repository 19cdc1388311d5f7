"""`make chaos`: a run under faults, its figures, and the verdict. See docs/reliability.md."""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.chaos.course import Course, load, run
from tests.chaos.cycles import run_cycles
from tests.chaos.database import KINDS
from tests.chaos.figures import figures, text
from tests.chaos.judge import judge
from tests.chaos.records import Run

BROKEN: Final = 1


def main() -> int:
    """Run, judge, and return 0 only if no promise was broken."""
    told = _arguments()
    if told.judge is not None:
        return _report(load(told.judge))
    folder = Path(tempfile.mkdtemp(prefix="chaos-", dir=told.folder)).resolve()
    code = BROKEN
    try:
        code = _cycles(told, folder) if told.cycles else _chaos(told, folder)
    finally:
        if code == 0 and not told.keep:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            _say(f"everything is kept in {folder}")
    return code


def _chaos(told: argparse.Namespace, folder: Path) -> int:
    course = Course(
        told.seconds,
        told.seed,
        folder,
        told.database,
        told.hosts,
        told.slots,
        told.pause,
        told.longest,
        harm=not told.peace,
    )
    return _report(run(course, _say))


def _cycles(told: argparse.Namespace, folder: Path) -> int:
    tally = run_cycles(told.cycles, told.seed, folder, _say)
    print(tally)
    return BROKEN if tally.complaints else 0


def _report(found: Run) -> int:
    verdict = judge(found)
    print(text(figures(found)), "", verdict, sep="\n")
    return 0 if verdict.is_clean else BROKEN


def _say(words: str) -> None:
    print(f"… {words}", file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make chaos ARGS=…", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="how long harm is done")
    parser.add_argument("--seed", type=int, default=1, help="where all chance comes from")
    parser.add_argument("--database", choices=KINDS, default=KINDS[0])
    parser.add_argument("--hosts", type=int, default=4, help="machines, each with a worker")
    parser.add_argument("--slots", type=int, default=3, help="slots of each worker")
    parser.add_argument("--pause", type=float, default=0.7, help="seconds between two blows")
    parser.add_argument("--longest", type=float, default=6, help="of a stop or storm, seconds")
    parser.add_argument("--cycles", type=int, help="only kill one worker so often, under one job")
    parser.add_argument("--peace", action="store_true", help="do no harm")
    parser.add_argument("--keep", action="store_true", help="keep all files of the run")
    parser.add_argument("--folder", type=Path, help="make the run's folder below this one")
    parser.add_argument("--judge", type=Path, help="judge a run again that was kept")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
