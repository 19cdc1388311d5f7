"""What was run of the present code, so that runs can be stopped, go on, and add up.

The code is known by a hash of all that decides what a seed does: a commit that changes only words
elsewhere takes nothing back.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path

from tests.simulation.runner import ROOT, Sum

STATE = ROOT / ".sim" / "state.json"
_FOLDERS = ("orchestrator", "worker", "tests/simulation")
_KINDS = (".py", ".sql")
_ASIDE = frozenset(
    {
        "__main__",
        "crew",
        "mutants",
        "plants",
        "record",
        "regressions",
        "runner",
        "shrink",
        "sometimes",
    }
)
"""Of the simulation: what runs seeds, and decides nothing in them."""


@dataclass(slots=True)
class Run:
    """One run: of which commit, when, how long, and which seeds."""

    commit: str
    began: str
    processes: int
    seconds: float = 0.0
    seeds: int = 0
    ranges: list[list[int]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def add(self, chunk: range, found: Sum, seconds: float) -> None:
        """Count one more chunk."""
        self.seeds += found.seeds
        self.seconds = seconds
        self.ranges = merged([*self.ranges, [chunk.start, chunk.stop]])
        self.failures += sorted(found.failures)

    @property
    def rate(self) -> float:
        """Return seeds a second."""
        return self.seeds / self.seconds if self.seconds else 0.0


@dataclass(slots=True)
class Record:
    """All runs of one state of the code."""

    code: str
    runs: list[Run] = field(default_factory=list)
    whole: Sum = field(default_factory=Sum)

    def done(self) -> list[list[int]]:
        """Return the ranges of seeds that were run."""
        return merged([one for run in self.runs for one in run.ranges])

    def save(self, path: Path = STATE) -> None:
        """Write it down: the old one or the new one is there, whatever happens."""
        path.parent.mkdir(exist_ok=True)
        text = {
            "code": self.code,
            "runs": [asdict(run) for run in self.runs],
            "whole": json.loads(self.whole.to_json()),
        }
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps(text, indent=1))
        temporary.replace(path)


def load(path: Path = STATE, code: str | None = None) -> Record:
    """Return what was run of this code; of another one it does not count, and is put aside."""
    code = code or code_hash()
    try:
        told = json.loads(path.read_text())
    except FileNotFoundError:
        return Record(code)
    if told["code"] != code:
        path.replace(path.with_name(f"state-{told['code'][:12]}.json"))
        return Record(code)
    runs = [Run(**run) for run in told["runs"]]
    return Record(code, runs, Sum.of(json.dumps(told["whole"])))


def merged(ranges: Iterable[list[int]]) -> list[list[int]]:
    """Return the same seeds in as few ranges as possible."""
    found: list[list[int]] = []
    for first, end in sorted(ranges):
        if found and first <= found[-1][1]:
            found[-1][1] = max(found[-1][1], end)
        else:
            found.append([first, end])
    return found


def undone(done: list[list[int]], first: int, size: int) -> Iterator[range]:
    """Yield chunks of seeds from `first` on that were not run, without an end."""
    for start in count(first - first % size, size):
        chunk = range(max(start, first), start + size)
        if not any(begin <= chunk.start and chunk.stop <= end for begin, end in done):
            yield chunk


def code_hash(root: Path = ROOT) -> str:
    """Return a hash of every file that decides what a seed does."""
    digest = hashlib.sha256()
    for folder in _FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            aside = path.parent.name == "simulation" and path.stem in _ASIDE
            if path.suffix in _KINDS and not aside and not path.name.startswith("test_"):
                digest.update(f"{path.relative_to(root)}\0".encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()
