"""What one worker notices of the trouble of another: `make bench-isolation`.

Two things are measured of a quiet worker, first while its neighbour is well and then beside each
trouble: how long the server waits from one heartbeat to the next, and how long a tiny job waits
from its submit to its start. At the same time, on another machine of the same computer, the same is
measured of a worker without any neighbour. What both notice is the load of the computer; what the
quiet one alone notices is a lack of isolation.
"""

import argparse
import asyncio
import contextlib
import json
import shutil
import signal
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from benchmarks.house import Unusable, commit
from benchmarks.load import Client, Connection, Refused
from benchmarks.machines import ALONE, NEIGHBOUR, QUIET, WATCHED, Ground, ground, wait_for
from benchmarks.report import percentile
from benchmarks.troubles import GOOD, TROUBLES, Trouble, nothing

LOOK_S: Final = 0.02
PAUSE_S: Final = 0.05
FULL_S: Final = 40.0
QUICK_S: Final = 5.0
LONGEST_S: Final = 600
LOG_LINES: Final = 20
HEAD: Final = (
    "the neighbour",
    "longest gap between heartbeats (median)",
    "more than without trouble",
    "wait of a tiny job, median (p95)",
    "times as long as without trouble",
    "a worker without neighbours at the same time: longest gap, median wait",
)
GAP_MORE_S: Final = 1.0
LATENCY_TIMES: Final = 2.0
"""What is promised: gaps at most so much longer, and waits at most so many times as long."""


@dataclass
class Seen:
    """What was seen of one worker: gaps in seconds, waits in milliseconds."""

    gaps: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    def as_json(self) -> dict[str, float]:
        """Return its figures."""
        return {
            "gap_median_s": statistics.median(self.gaps),
            "gap_worst_s": max(self.gaps),
            "wait_median_ms": statistics.median(self.waits),
            "wait_p95_ms": percentile(self.waits, 0.95),
            "gaps": len(self.gaps),
            "waits": len(self.waits),
        }


async def measured(place: Ground, trouble: Trouble, seconds: float) -> dict[str, Seen]:
    """Return what was seen of both workers while there was that trouble."""
    seen = {name: Seen() for name in WATCHED}
    async with trouble(place):
        until = time.monotonic() + seconds
        async with asyncio.TaskGroup() as group:
            group.create_task(_listen(place, seen, until))
            for name in WATCHED:
                group.create_task(_submit(place.client, name, seen[name].waits, until))
    wait_for(lambda: place.machine.state_of(NEIGHBOUR) in GOOD, "the neighbour is well again")
    return seen


async def _listen(place: Ground, seen: dict[str, Seen], until: float) -> None:
    """Note the time between the heartbeats that the server wrote down."""
    last = place.renewed()
    while time.monotonic() < until or any(not one.gaps for one in seen.values()):
        await asyncio.sleep(LOOK_S)
        now = place.renewed()
        for name, one in seen.items():
            if now[name] != last[name]:
                one.gaps.append((now[name] - last[name]) / 1_000_000)
        last = now


async def _submit(client: Client, name: str, waits: list[float], until: float) -> None:
    """Submit one tiny job after the other, and note how long each waited for its start."""
    job = {"kind": "command", "params": {"argv": ["true"]}, "requires": {"tags": [name]}}
    connection = await Connection.open(client.port)
    try:
        while time.monotonic() < until or not waits:
            begin = time.time()
            made = json.loads(await connection.call(client.post("/api/v1/jobs", job)))
            look = client.get(f"/api/v1/jobs/{made['id']}", "Prefer: wait=30")
            while made["finished_at"] is None:
                made = json.loads(await connection.call(look))
            started = datetime.fromisoformat(made["started_at"]).timestamp()
            waits.append((started - begin) * 1000)
            await asyncio.sleep(PAUSE_S)
    finally:
        connection.close()


def measure(folder: Path, seconds: float) -> list[dict[str, Any]]:
    """Return a row for the time without trouble, and one for each trouble."""
    rows = []
    with ground(folder) as place:
        asyncio.run(measured(place, nothing, 1.0))  # what happens once happens now
        for name, trouble in {"nothing": nothing, **TROUBLES}.items():
            _say(f"the neighbour: {name}")
            pid = place.machine.pid_of(QUIET)
            seen = asyncio.run(measured(place, trouble, seconds))
            row = {"trouble": name, "undisturbed": place.machine.pid_of(QUIET) == pid}
            rows.append(row | {who: one.as_json() for who, one in seen.items()})
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as Markdown, against the first one, which is the base."""
    base = rows[0]
    lines = [f"| {' | '.join(HEAD)} |", "|---" * len(HEAD) + "|"]
    for row in rows:
        quiet, alone = row[QUIET], row[ALONE]
        more_s = quiet["gap_worst_s"] - base[QUIET]["gap_worst_s"]
        times = quiet["wait_median_ms"] / base[QUIET]["wait_median_ms"]
        lines.append(
            f"| {row['trouble']} | {quiet['gap_worst_s']:.2f} s ({quiet['gap_median_s']:.2f} s) "
            f"| {more_s:+.2f} s | {quiet['wait_median_ms']:.1f} ms ({quiet['wait_p95_ms']:.1f} ms) "
            f"| {times:.2f} | {alone['gap_worst_s']:.2f} s, {alone['wait_median_ms']:.1f} ms |"
        )
    return "\n".join(lines)


def verdicts(rows: list[dict[str, Any]]) -> list[str]:
    """Return what is promised and does not hold, in sentences."""
    base = rows[0][QUIET]
    found = []
    for row in rows[1:]:
        quiet = row[QUIET]
        if not row["undisturbed"]:
            found.append(f"{row['trouble']}: the quiet worker was started again")
        if quiet["gap_worst_s"] >= base["gap_worst_s"] + GAP_MORE_S:
            found.append(f"{row['trouble']}: a gap was {GAP_MORE_S:g} s longer than without it")
        if quiet["wait_median_ms"] > base["wait_median_ms"] * LATENCY_TIMES:
            found.append(f"{row['trouble']}: jobs waited more than {LATENCY_TIMES:g} times as long")
    return found


def _say(text: str) -> None:
    print(f"… {text}", file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-isolation ARGS=…", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few seconds each: does it work?")
    parser.add_argument("--json", action="store_true", help="print the rows for a program")
    parser.add_argument("--folder", type=Path, default=Path(), help="measure on the disk of this")
    return parser.parse_args()


def _print(rows: list[dict[str, Any]], *, as_json: bool, load: float) -> None:
    if as_json:
        print(json.dumps(rows))
        return
    print(f"{time.strftime('%Y-%m-%d')}, commit {commit()}, load at the start {load:.1f}\n")
    print(table(rows), *verdicts(rows), sep="\n")


def main() -> int:
    """Measure, print, and leave nothing behind."""
    arguments = _arguments()
    if sys.platform != "linux":
        _say("the benchmark needs Linux: it stops processes and counts their processors")
        return 1
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.alarm(LONGEST_S)
    load = _load()
    folder = Path(tempfile.mkdtemp(prefix=".bench-", dir=arguments.folder.resolve()))
    try:
        rows = measure(folder, QUICK_S if arguments.quick else FULL_S)
        _print(rows, as_json=arguments.json, load=load)
    except KeyboardInterrupt:
        _say(f"no figures: interrupted, or longer than {LONGEST_S} s")
        return 1
    except (Unusable, Refused, OSError, ExceptionGroup) as fault:
        for log in folder.glob("*/log"):
            _say("\n".join(log.read_text(errors="replace").splitlines()[-LOG_LINES:]))
        _say(f"no figures: {fault}")
        return 1
    finally:
        with contextlib.suppress(OSError):
            shutil.rmtree(folder)
    return 0


def _load() -> float:
    return float(Path("/proc/loadavg").read_text().split()[0])


if __name__ == "__main__":
    sys.exit(main())
