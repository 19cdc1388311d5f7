"""Measure everything once, in one run, and print one table: `make bench`.

It starts its own installation in a folder of its own, and ends it again. Before each throughput
run the yardstick is measured, because a shared machine is never twice the same.
"""

import argparse
import asyncio
import itertools
import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks import latency, throughput
from benchmarks.house import House, Unusable, commit, running
from benchmarks.load import Client, Refused
from benchmarks.memory import weigh
from benchmarks.report import Figure, percentile, table
from benchmarks.yardstick import Yardstick, cores, file_system, sync_ms

Load = Callable[[Client, list[str]], Coroutine[None, None, float]]
COMMAND_SLOTS: Final = 8
NOOP_SLOTS: Final = 256
LOG_LINES: Final = 20
LONGEST_S: Final = 600
"""Everything together ends after this, finished or not."""


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    runs: int
    commands: int
    noops: int
    singles: int


FULL: Final = Size(runs=5, commands=3_000, noops=10_000, singles=300)
QUICK: Final = Size(runs=1, commands=200, noops=500, singles=20)


class Bench:
    """One run of everything: the folder, the yardstick, and the figures so far."""

    def __init__(self, folder: Path, size: Size) -> None:
        self.folder = folder
        self.size = size
        self.yardstick = Yardstick.build(folder)
        self.figures: list[Figure] = []
        self.weights: list[Figure] = []
        self._serial = itertools.count()

    def words(self, count: int) -> list[str]:
        """Return words that were never used before in this run."""
        return [f"bench-{next(self._serial):07d}" for _ in range(count)]

    def measure(self) -> None:
        """Measure all there is."""
        with running(self.folder / "commands", slots=COMMAND_SLOTS) as house:
            self._weigh(house)
            self._warm_up(house)
            commands = Figure("command jobs, end to end, durable", "/s")
            self._throughput(house, commands, throughput.commands, self.size.commands)
            self._latency(house)
        with running(self.folder / "noops", slots=NOOP_SLOTS) as house:
            self._warm_up(house)
            noops = Figure("no-op jobs (delay 0), end to end, durable", "/s")
            self._throughput(house, noops, throughput.noops, self.size.noops)

    def _warm_up(self, house: House) -> None:
        asyncio.run(throughput.commands(house.client, self.words(50)))

    def _throughput(self, house: House, figure: Figure, what: Load, count: int) -> None:
        for number in range(self.size.runs):
            _say(f"{figure.name}: run {number + 1} of {self.size.runs}")
            yard = self.yardstick.measure()
            rate = asyncio.run(what(house.client, self.words(count)))
            figure.add(rate, yardstick=yard)
        self.figures.append(figure)

    def _latency(self, house: House) -> None:
        yard = self.yardstick.measure()
        _say(f"one job at a time, {self.size.singles} times")
        found = asyncio.run(latency.one_by_one(house.client, self.words(self.size.singles)))
        for name, values in (
            ("submit → acknowledged", found.acknowledged),
            ("submit → started", found.started),
            ("submit → finish seen by the submitter", found.seen),
        ):
            for share in (0.5, 0.99):
                figure = Figure(f"{name}, p{share * 100:.0f}", "ms")
                figure.add(percentile(values, share), yardstick=yard)
                self.figures.append(figure)

    def _weigh(self, house: House) -> None:
        """Weigh the house at rest, and its shims while each of them has a job."""
        at_rest = weigh(house.pid)
        ids = asyncio.run(_sleepers(house))
        shims = weigh(house.pid)["shim"]
        asyncio.run(_cancel(house, ids))
        for role in ("worker", "server", "supervisor", "launcher", "nursery"):
            self._memory(f"memory at rest: {role}", at_rest[role].pss_mib)
        self._memory("memory at rest: all of it", sum(w.pss_mib for w in at_rest.values()))
        self._memory("memory of each running job (its shim)", shims.pss_mib / shims.count)

    def _memory(self, name: str, pss_mib: float) -> None:
        figure = Figure(name, "MiB")
        figure.add(pss_mib, yardstick=1.0)
        self.weights.append(figure)


async def _sleepers(house: House) -> list[str]:
    """Start as many sleeping jobs as there are slots, and wait until all of them run."""
    job = {"kind": "command", "params": {"argv": ["sleep", "60"]}, "name": "sleeper"}
    requests = [house.client.post("/api/v1/jobs", job)] * COMMAND_SLOTS
    answers = await house.client.call_all(requests, connections=1)
    while True:
        running_now = await house.client.json("/api/v1/jobs?state=running&name=sleeper&limit=500")
        if len(running_now["items"]) == COMMAND_SLOTS:
            return [str(json.loads(answer)["id"]) for answer in answers]
        await asyncio.sleep(0.05)


async def _cancel(house: House, ids: list[str]) -> None:
    requests = [house.client.post(f"/api/v1/jobs/{job_id}/cancel", {}) for job_id in ids]
    await house.client.call_all(requests, connections=1)
    for job_id in ids:
        wait = house.client.get(f"/api/v1/jobs/{job_id}", "Prefer: wait=30")
        await house.client.call_all([wait], connections=1)


def _say(text: str) -> None:
    print(f"… {text}", file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few jobs: does it work at all?")
    parser.add_argument("--folder", type=Path, default=Path(), help="measure on the disk of this")
    return parser.parse_args()


def _heading(bench: Bench) -> Iterator[str]:
    yards = [yard for figure in bench.figures if figure.unit == "/s" for yard in figure.yardsticks]
    yield f"{time.strftime('%Y-%m-%d')}, commit {commit()}, Python {sys.version.split()[0]}"
    disk, sync = file_system(bench.folder), sync_ms(bench.folder)
    yield f"{cores()} processors; {disk}, where a synced write takes {sync:.2f} ms"
    yield f"yardstick: {min(yards):,.0f} – {max(yards):,.0f} programs/s ({bench.yardstick.what})"


def main() -> int:
    """Measure, print, and leave nothing behind."""
    arguments = _arguments()
    if sys.platform != "linux":
        _say("the benchmark needs Linux: it pins processes and reads /proc")
        return 1
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.alarm(LONGEST_S)
    folder = Path(tempfile.mkdtemp(prefix=".bench-", dir=arguments.folder.resolve()))
    try:
        bench = Bench(folder, QUICK if arguments.quick else FULL)
        bench.measure()
        print("\n".join(_heading(bench)), table(bench.figures + bench.weights), sep="\n\n")
    except KeyboardInterrupt:
        _say(f"no figures: interrupted, or longer than {LONGEST_S} s")
        return 1
    except (Unusable, throughput.Wrong, Refused, OSError) as fault:
        for log in folder.glob("*/log"):
            _say("\n".join(log.read_text(errors="replace").splitlines()[-LOG_LINES:]))
        _say(f"no figures: {fault}")
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
