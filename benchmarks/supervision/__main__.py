"""Measure a hundred workers against a hundred programs of other managers: `make bench-supervisor`.

One manager at a time, each from its start to its end, and all of them again in each run, so that a
machine that is busy with something else is so for everybody.
"""

import argparse
import contextlib
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.house import Unusable, commit
from benchmarks.supervision import tree
from benchmarks.supervision.manager import Manager, Took
from benchmarks.supervision.ours import Orchestrator
from benchmarks.supervision.separate import Separate
from benchmarks.supervision.tools import managers
from benchmarks.yardstick import cores

SETTLE_S: Final = 5.0
PAUSE_S: Final = 0.3
LONGEST_S: Final = 900
"""Everything together ends after this, finished or not; whole figures are printed."""


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    runs: int
    workers: int
    kills: int
    changes: int
    idle_s: float


FULL: Final = Size(runs=3, workers=100, kills=9, changes=3, idle_s=20.0)
QUICK: Final = Size(runs=1, workers=10, kills=2, changes=1, idle_s=3.0)
ALONE: Final = Size(runs=1, workers=5, kills=0, changes=1, idle_s=1.0)


@dataclass
class Bench:
    """All figures so far: what → manager → its values."""

    folder: Path
    size: Size
    figures: dict[str, dict[str, list[float]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )

    def add(self, what: str, manager: Manager, value: float | None) -> None:
        """Note a value, if there is one."""
        if value is not None:
            self.figures[what][manager.name].append(value)

    def measure(self, manager: Manager) -> None:
        """Measure one manager, from its start to its end."""
        try:
            first_s = manager.start()
            if isinstance(manager, Orchestrator):
                self.add("all ready at the first start ever, s", manager, first_s)
                manager.stop()
                first_s = manager.start()
            ready_at, used = time.monotonic(), tree.cpu_s(tree.family(manager.root))
            self.add("all ready, s", manager, first_s)
            self.add("all ready: processor time of all, s", manager, used)
            time.sleep(SETTLE_S)
            self._at_rest(manager)
            if not isinstance(manager, Separate):
                self._changes(manager)
                self._kills(manager, ready_at)
        finally:
            manager.stop()

    def _at_rest(self, manager: Manager) -> None:
        everybody = tree.family(manager.root)
        before, begin = tree.cpu_s(everybody), time.monotonic()
        time.sleep(self.size.idle_s)
        used = (tree.cpu_s(everybody) - before) / (time.monotonic() - begin)
        self.add("idle: all of it, % of a core", manager, used * 100)
        everybody = tree.family(manager.root)
        programs = set(manager.programs())
        self.add("PSS of all, MiB", manager, tree.pss_mib(everybody))
        self.add("PSS of the manager, MiB", manager, tree.pss_mib(everybody - programs))
        self.add("PSS of each program, MiB", manager, tree.pss_mib(programs) / len(programs))

    def _changes(self, manager: Manager) -> None:
        for _ in range(self.size.changes):
            self._note("one more", manager, manager.ask_for_more())
            time.sleep(PAUSE_S)
        for _ in range(self.size.changes):
            self._note("one changed", manager, manager.change_one())
            time.sleep(PAUSE_S)

    def _kills(self, manager: Manager, ready_at: float) -> None:
        if not self.size.kills:
            return
        time.sleep(max(0.0, ready_at + manager.healthy_s - time.monotonic()))
        # Those that were there from the beginning, and each once: it is their first restart.
        chosen = random.sample(manager.programs()[: self.size.workers], self.size.kills)
        for pid in chosen:
            self._note("kill -9", manager, manager.kill_one(pid))
            time.sleep(PAUSE_S)

    def _note(self, what: str, manager: Manager, took: Took | None) -> None:
        if took is None:
            return
        self.add(f"{what}: until the new one is started, ms", manager, took.started)
        self.add(f"{what}: until it is ready, ms", manager, took.ready)
        if took.accepted is not None and took.ready is not None:
            after = took.ready - took.accepted
            self.add(f"{what}: ready after it was accepted, ms", manager, after)

    def table(self, names: list[str]) -> str:
        """Return all medians with their ranges, as Markdown."""
        rows = [["what", *names]]
        for what, found in self.figures.items():
            rows.append([what, *(_cell(found.get(name, [])) for name in names)])
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows]
        lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
        return "\n".join(lines)


def _cell(values: list[float]) -> str:
    if not values:
        return "-"
    middle = _short(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({_short(min(values))}-{_short(max(values))})"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _say(text: str) -> None:
    print(f"… {text}", file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-supervisor ARGS=…", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="ten workers: does it work at all?")
    parser.add_argument("--alone", action="store_true", help="five of ours, nothing is killed")
    parser.add_argument("--runs", type=int, help="how often all of them are measured")
    parser.add_argument("--folder", type=Path, default=Path(), help="measure on the disk of this")
    return parser.parse_args()


def _heading() -> str:
    return (
        f"{time.strftime('%Y-%m-%d')}, commit {commit()}, "
        f"Python {sys.version.split()[0]}, {cores()} processors"
    )


def _loads() -> str:
    return f"load {os.getloadavg()[0]:.1f}"


def main() -> int:
    """Measure, print, and leave nothing behind."""
    arguments = _arguments()
    if sys.platform != "linux":
        _say("the benchmark needs Linux: it reads /proc")
        return 1
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    kinds, missing = ([Orchestrator], []) if arguments.alone else managers()
    signal.alarm(LONGEST_S)
    folder = Path(tempfile.mkdtemp(prefix=".bench-", dir=arguments.folder.resolve()))
    size = ALONE if arguments.alone else QUICK if arguments.quick else FULL
    bench = Bench(folder, size)
    loads = [_loads()]
    code = 0
    try:
        for run in range(arguments.runs or size.runs):
            for kind in kinds:
                _say(f"run {run + 1}: {kind.name}, {size.workers} programs, {_loads()}")
                bench.measure(kind(folder / f"{run}-{kind.name.split()[0]}", size.workers))
            loads.append(_loads())
    except KeyboardInterrupt:
        _say(f"interrupted, or longer than {LONGEST_S} s: what is not there was not measured")
        code = 1
    except (Unusable, OSError, subprocess.SubprocessError) as fault:
        for log in folder.glob("*/log"):
            _say("\n".join(log.read_text(errors="replace").splitlines()[-20:]))
        _say(f"not finished: {fault}")
        code = 1
    finally:
        with contextlib.suppress(OSError):
            shutil.rmtree(folder)
    print(f"{_heading()}; {size.workers} programs; before and after each run: {', '.join(loads)}\n")
    print(bench.table([kind.name for kind in kinds]), *missing, sep="\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
