"""A run, ordered so that the rules can ask for what belongs together. Pure."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from functools import cached_property
from typing import Any, Final

from tests.chaos.plans import Plan
from tests.chaos.records import Entry, Note, Run, Seen

TERMINAL: Final = frozenset({"succeeded", "failed", "cancelled", "expired"})


def seconds(told: str) -> float:
    """Return the moment that the API told, as the records have it."""
    return datetime.fromisoformat(told).timestamp()


class Case:
    """What the rules look at."""

    def __init__(self, run: Run) -> None:
        self.run = run

    @cached_property
    def jobs(self) -> dict[str, Seen]:
        """Return id → job."""
        return {seen.job["id"]: seen for seen in self.run.seen}

    @cached_property
    def named(self) -> dict[str, list[Seen]]:
        """Return op → the jobs that carry its name."""
        found: dict[str, list[Seen]] = defaultdict(list)
        for seen in self.run.seen:
            found[seen.job["name"] or ""].append(seen)
        return found

    @cached_property
    def plans(self) -> dict[str, Plan]:
        """Return op → what was asked for, whether or not that arrived."""
        return {
            note.op: note.told["plan"]
            for note in self.run.notes
            if note.do == "submit" and note.type == "invoke"
        }

    @cached_property
    def _by_deed(self) -> dict[tuple[str, str], list[Note]]:
        found: dict[tuple[str, str], list[Note]] = defaultdict(list)
        for note in self.run.notes:
            found[note.do, note.type].append(note)
        return found

    def notes(self, do: str, *types: str) -> Iterator[Note]:
        """Yield the notes about one kind of deed, in the order of time."""
        for kind in types:
            yield from self._by_deed.get((do, kind), ())

    @cached_property
    def starts(self) -> dict[tuple[str, int], list[Entry]]:
        """Return (job, attempt) → its starts in the ledger."""
        return self._entries("start")

    @cached_property
    def exits(self) -> dict[tuple[str, int], list[Entry]]:
        """Return (job, attempt) → its exits in the ledger."""
        return self._entries("exit")

    def _entries(self, what: str) -> dict[tuple[str, int], list[Entry]]:
        found: dict[tuple[str, int], list[Entry]] = defaultdict(list)
        for entry in self.run.entries:
            if entry.what == what:
                found[entry.job, entry.attempt].append(entry)
        return found

    @cached_property
    def cancels(self) -> set[str]:
        """Return the ops of which somebody may have cancelled the job."""
        return {note.op for note in self.run.notes if note.do == "cancel"}

    def attempts(self) -> Iterator[tuple[Seen, dict[str, Any]]]:
        """Yield every attempt with its job."""
        for seen in self.run.seen:
            for attempt in seen.job["attempts"]:
                yield seen, attempt
