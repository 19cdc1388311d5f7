"""One trial: the story with one fault or a few, and what the judge says of it."""

import random
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.collecting import remains
from tests.chaos.course import collect, daemons, secrets_of, settle
from tests.chaos.judge import judge
from tests.chaos.records import Journal, Note, Run, entries, read
from tests.failpoints.allowed import allowed
from tests.failpoints.place import armed
from tests.failpoints.script import Script


@dataclass(frozen=True)
class Outcome:
    """What a trial showed."""

    spec: str
    reached: set[str]
    met: set[str]
    complaints: dict[str, list[str]] = field(default_factory=dict)
    seconds: float = 0.0

    def __str__(self) -> str:
        lines = [f"{self.spec}: {self.seconds:.1f} s, {len(self.complaints)} promises broken"]
        for title, found in self.complaints.items():
            lines += [f"  {title}: {complaint}" for complaint in found[:5]]
        return "\n".join(lines)


def attempt(folder: Path, spec: str) -> Outcome:
    """Play the story with these faults in a new folder, and judge it."""
    began = time.monotonic()
    folder.mkdir(parents=True)
    with armed(folder, spec) as place:
        secrets = secrets_of(place)
        journal = Journal(folder / "history.jsonl")
        script = Script(
            0, place.people(), journal, random.Random(spec), place.ledger, threading.Event()
        )
        try:
            missed = script.play(place)
        finally:
            journal.close()
        settle(place, lambda _: None)
        seen = collect(place, folder / "observation.jsonl")
        left = place.stop()
        found = remains(place, left, secrets)
        reached, met, blows = place.reached(), place.met(), place.blows()
    history = [Note(**told) for told in read(folder / "history.jsonl")]
    ledger = entries(read(folder / "ledger.jsonl"))
    found["daemons"] = daemons(ledger)
    complaints = defaultdict(list, judge(Run(history, ledger, blows, seen, found)).complaints)
    complaints["the story"] += missed
    broken = {
        title: rest
        for title, listed in complaints.items()
        if (rest := [each for each in listed if not allowed(spec, title, each)])
    }
    return Outcome(spec, reached, met, broken, time.monotonic() - began)
