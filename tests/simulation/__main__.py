"""`python -m tests.simulation`: run seeds, replay one; `make sim` comes here."""

import argparse
import math
import os
import signal
import sys
import time
from datetime import UTC, datetime
from itertools import islice
from typing import Final

from tests.simulation import runner
from tests.simulation.crew import CHUNK, Crew, serve
from tests.simulation.mutants import MUTANTS
from tests.simulation.record import Run, load, undone
from tests.simulation.runner import Sum
from tests.simulation.seed import Laboratory, options_of
from tests.simulation.shrink import shrunk
from tests.simulation.themes import theme_of

ENOUGH: Final = 20
"""Failures of one run: so many at once have one cause."""


def main() -> int:
    """Do what the command line asks for; return 1 when anything was violated."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    run = verbs.add_parser("run", help="run many seeds, and add them to what was run before")
    run.add_argument("--seeds", type=int, default=2000)
    run.add_argument("--from", dest="first", type=int, default=0)
    run.add_argument("--processes", type=int, default=2)
    verbs.add_parser("serve", help="run the chunks that are asked for on the standard input")
    these = verbs.add_parser("these", help="run these seeds here, and print the sum as JSON")
    these.add_argument("numbers", type=int, nargs="+")
    traces = verbs.add_parser("traces", help="print what each seed's trace adds up to")
    traces.add_argument("first", type=int)
    traces.add_argument("end", type=int)
    mutant = verbs.add_parser("mutant", help="look for the first seed that finds a planted bug")
    mutant.add_argument("name")
    mutant.add_argument("--from", dest="first", type=int, default=None)
    mutant.add_argument("--seeds", type=int, default=2000)
    every = verbs.add_parser("mutants", help="look for every planted bug, its known seed first")
    every.add_argument("part", type=int, nargs="?", default=0)
    every.add_argument("parts", type=int, nargs="?", default=1)
    shrink = verbs.add_parser("shrink", help="make a failing seed smaller")
    shrink.add_argument("seed", type=int)
    replay = verbs.add_parser("replay", help="run one seed, and tell its story")
    replay.add_argument("seed", type=int)
    replay.add_argument("--lines", type=int, default=200)
    given = parser.parse_args()
    match given.verb:
        case "run":
            return _run(given.seeds, given.first, given.processes)
        case "serve":
            serve()
            return 0
        case "these":
            sys.stdout.write(runner.run_here(given.numbers).to_json())
            return 0
        case "mutant":
            return _hunt(given.name, given.first, given.seeds)
        case "mutants":
            return max(
                [_hunt(name, None, 2000) for name in list(MUTANTS)[given.part :: given.parts]]
            )
        case "shrink":
            return _shrink(given.seed)
        case "traces":
            for verdict in runner.verdicts(range(given.first, given.end)):
                _say(f"{verdict.options.seed} {verdict.trace} {verdict.events}")
            return 0
        case _:
            return _replay(given.seed, given.lines)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _run(count: int, first: int, processes: int) -> int:
    """Run seeds that were not run yet of this code; what is stopped goes on with the next run."""
    record = load()
    run = Run(runner.commit(), f"{datetime.now(UTC):%Y-%m-%d %H:%M:%SZ}", processes)
    wanted = islice(undone(record.done(), first, CHUNK), math.ceil(count / CHUNK))
    record.runs.append(run)
    this, began = Sum(), time.monotonic()
    _say(f"commit {run.commit}, code {record.code[:12]}, {count} seeds, {processes} processes")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        for chunk, part in Crew(wanted, processes, until=math.inf).results():
            this.join(part)
            record.whole.join(part)
            run.add(chunk, part, time.monotonic() - began)
            record.save()
            for seed, violations in part.failures.items():
                _say(f"FAILED {seed}: {violations[0]}")
                _say(f"       make sim-replay SEED={seed}")
            if len(this.failures) >= ENOUGH:
                _say(f"{len(this.failures)} seeds have failed: more would tell nothing new")
                break
    except KeyboardInterrupt:
        _say("stopped: the same command goes on from here")
    _tell("this run", this)
    ranges = ", ".join(f"{first} to {end - 1}" for first, end in run.ranges) or "none"
    _say(f"{run.seconds:.0f} s, {run.rate:.1f} seeds a second; seeds {ranges}")
    if len(record.runs) > 1:
        _tell(f"all {len(record.runs)} runs of code {record.code[:12]}", record.whole)
    _say("faults:     " + ", ".join(f"{name} {n}" for name, n in sorted(this.injected.items())))
    _say("situations: " + ", ".join(f"{name} {n}" for name, n in sorted(this.seen.items())))
    return 1 if record.whole.failures else 0


def _hunt(name: str, first: int | None, count: int) -> int:
    """Try the seed that is known, then those of its theme, and then all others.

    After a change of the programs a seed is another story, but its theme does the same harm.
    """
    known = MUTANTS[name].seed if first is None else first
    others = range(first or 0, (first or 0) + count)
    alike = [seed for seed in others if theme_of(seed) is theme_of(known) is not None]
    seeds = dict.fromkeys((known, *alike, *others))
    verdict = runner.found(name, seeds)
    if verdict is None:
        _say(f"{name}: not found in {count} seeds")
        return 1
    _say(f"{name}: {verdict.options.seed}: {verdict.violations[0]}")
    return 0


def _shrink(seed: int) -> int:
    """Show the smallest world of a seed that fails in the same way."""
    laboratory = Laboratory()
    first = laboratory.run(options_of(seed))
    if not first.violations:
        _say(f"seed {seed} does not fail")
        return 0
    rule = _rule(first.violations)
    smallest = shrunk(
        first.options, lambda options: _rule(laboratory.run(options).violations) == rule
    )
    verdict = laboratory.run(smallest, telling=True)
    for line in verdict.story[-100:]:
        _say(line)
    _say(str(smallest))
    _say(f"VIOLATED {verdict.violations[0]}")
    return 1


def _rule(violations: list[str]) -> str:
    return violations[0].partition(":")[0] if violations else ""


def _tell(what: str, found: Sum) -> None:
    _say(
        f"{what}: {found.seeds} seeds, {found.events} events, {found.injected.total()} faults, "
        f"{found.seconds / 3600:.1f} simulated hours, {len(found.failures)} failures"
    )


def _replay(seed: int, lines: int) -> int:
    verdict = runner.replayed(seed)
    for line in verdict.story[-lines:]:
        _say(line)
    _say(str(verdict.options))
    for violation in verdict.violations:
        _say(f"VIOLATED {violation}")
    return 1 if verdict.violations else 0


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":
        # The order in a set of texts may decide what happens first.
        command = [sys.executable, "-m", "tests.simulation", *sys.argv[1:]]
        os.execve(sys.executable, command, runner.environment())
    raise SystemExit(main())
