"""What the judge is given: three kinds of plain records, as they lie in files, one to a line.

    history      what clients asked and what they were answered (`Note`)
    ledger       what the commands themselves wrote down (`Entry`)
    observation  what the server says when everything is over (`Seen`)

Nothing here looks at anything that runs.
"""

import json
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Note:
    """One line of a client's history.

    `invoke` comes before the call. `ok` and `fail` are answers; `info` means that nobody knows
    whether it happened, so for the judge it may have.
    """

    at: float
    client: int
    op: str
    do: str
    type: str
    """invoke, ok, fail or info"""
    told: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the ledger: a command started, left a daemon, or is about to exit."""

    what: str
    at: float
    op: str
    job: str
    attempt: int
    pid: int
    born: int
    home: str = ""
    code: int | None = None
    lines: int | None = None
    """How many it wrote to standard output, at its exit."""


@dataclass(frozen=True, slots=True)
class Blow:
    """One thing that the nemesis did, to whom."""

    at: float
    what: str
    """kill, stop, cont, weather, calm, drain"""
    target: str
    """server, worker, nursery, launcher, supervisor, shim, link"""
    host: str = ""
    pid: int = 0
    more: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Output:
    """What the server keeps of one stream of one attempt."""

    length: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Seen:
    """A job as the server shows it at the end: itself, its events, its output by attempt."""

    job: dict[str, Any]
    events: list[dict[str, Any]] = field(default_factory=list)
    out: dict[str, Output] = field(default_factory=dict)
    err: dict[str, Output] = field(default_factory=dict)

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> Self:
        """Return what was written with `asdict`."""
        out = {number: Output(**kept) for number, kept in told["out"].items()}
        err = {number: Output(**kept) for number, kept in told["err"].items()}
        return cls(told["job"], told["events"], out, err)


@dataclass(frozen=True, slots=True)
class Run:
    """Everything about one run that the judge knows."""

    notes: list[Note]
    entries: list[Entry]
    blows: list[Blow]
    seen: list[Seen]
    remains: dict[str, Any] = field(default_factory=dict)
    """What was left when everything had been stopped; see `remains.py`."""


class Journal:
    """A file of records that many threads add to."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8")
        self._lock = threading.Lock()

    def add(self, record: Note | Blow | Seen) -> None:
        """Write a record down."""
        text = json.dumps(asdict(record))
        with self._lock:
            self._file.write(text + "\n")
            self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def now() -> float:
    """Return the time by which all records of a run are compared: one machine, one clock."""
    return time.time()


def read(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of a file; a line that was torn by a kill is no line."""
    if not path.exists():
        return
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            yield json.loads(text)
        except ValueError:
            continue


def entries(told: Iterable[dict[str, Any]]) -> list[Entry]:
    """Return the entries of a ledger."""
    return [Entry(**each) for each in told]
