"""Cut the power at every moment of a recorded story, and see what the programs make of the rest."""

import random
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final, Protocol, Self

import anyio

from tests.crash.disk import Disk, State
from tests.crash.trace import Event

KEPT: Final = 20
"""Complaints that are kept word for word; the rest is counted."""


class Examiner(Protocol):
    """Knows what was promised, and looks whether it was kept."""

    broken: list[str]
    """What is wrong with the record itself, before any power cut."""

    def promised(self, cut: int) -> int:
        """Return how many promises had been given before that moment of the record."""
        ...

    async def examine(self, folder: Path, cut: int) -> list[str]:
        """Open a folder as a cut at that moment left it; return what is wrong with it."""
        ...


@dataclass(slots=True)
class Findings:
    """What came of an exploration."""

    states: int = 0
    distinct: int = 0
    cuts: int = 0
    faulty: int = 0
    promises: int = 0
    """Promises that were to be kept, over all states."""
    complaints: list[str] = field(default_factory=list)

    def __iadd__(self, other: "Findings") -> Self:
        """Add another part of the same exploration; both parts saw every cut."""
        self.states += other.states
        self.distinct += other.distinct
        self.cuts = max(self.cuts, other.cuts)
        self.faulty += other.faulty
        self.promises += other.promises
        self.complaints = [*self.complaints, *other.complaints][:KEPT]
        return self

    def __str__(self) -> str:
        """Return the figures as one line."""
        return (
            f"{self.states} states ({self.distinct} distinct) at {self.cuts} cuts, "
            f"{self.promises} promises looked at, {self.faulty} states broke one"
        )


def _walk(
    events: Sequence[Event], folder: Path, *, seed: int, per_cut: int
) -> Iterator[Iterator[State]]:
    """Yield the states of each stretch without a change of the disk, as late in it as can be."""
    disk = Disk(folder)
    changed = True
    last = 0
    for event in events:
        if event.path.startswith("tcp:") or event.name == "execve":
            continue
        if changed:
            chance = random.Random(f"{seed} {event.counts}")
            yield disk.survivors(event.counts, chance, per_cut)
        changed = disk.take(event)
        last = event.ends
    yield disk.survivors(last + 1, random.Random(f"{seed} end"), per_cut)


def cuts_of(events: Sequence[Event], folder: Path) -> int:
    """Return at how many moments the power can be cut to any effect."""
    return sum(1 for _ in _walk(events, folder, seed=0, per_cut=0))


@dataclass(frozen=True, slots=True)
class Exploration:
    """What to look at: a record, who knows what it means, and how many states of each moment."""

    events: Sequence[Event]
    folder: Path
    examiner: Examiner
    seed: int
    per_cut: int
    to_the_end: bool = True
    """Whether to look on when a promise is broken."""

    def run(self, *, share: tuple[int, int] = (0, 1)) -> Findings:
        """Examine every `share[1]`-th of its states, beginning with number `share[0]`."""
        return anyio.run(self._run, share)

    async def _run(self, share: tuple[int, int]) -> Findings:
        findings = Findings(complaints=list(self.examiner.broken))
        seen: set[tuple[bytes, int]] = set()
        home = Path(tempfile.mkdtemp(prefix="crash-", dir=_memory()))
        number = 0
        try:
            walk = _walk(self.events, self.folder, seed=self.seed, per_cut=self.per_cut)
            for states in walk:
                if findings.complaints and not self.to_the_end:
                    break
                findings.cuts += 1
                for state in states:
                    number += 1
                    if number % share[1] != share[0]:
                        continue
                    findings.states += 1
                    promised = self.examiner.promised(state.cut)
                    key = _digest(state), promised
                    if key not in seen:
                        seen.add(key)
                        findings.promises += promised
                        await self._look(home / "state", state, findings)
        finally:
            shutil.rmtree(home, ignore_errors=True)
        return findings

    async def _look(self, place: Path, state: State, findings: Findings) -> None:
        findings.distinct += 1
        place.mkdir(mode=0o700)
        state.lay_out(place)
        try:
            found = await self.examiner.examine(place, state.cut)
        except Exception as error:  # noqa: BLE001  # that it does not open is a finding as well
            found = [f"it cannot be opened: {type(error).__name__}: {error}"]
        shutil.rmtree(place)
        if found:
            findings.faulty += 1
            where = f"cut {state.cut}, {state.how}"
            findings.complaints += [f"{where}: {text}" for text in found[:2]]
            del findings.complaints[KEPT:]


def _memory() -> str | None:
    shared = Path("/dev/shm")  # only faster: the folder in it is private
    return str(shared) if shared.is_dir() else None


def _digest(state: State) -> bytes:
    """Name what is on a disk: many moments leave the same."""
    digest = sha256(repr(state.folders).encode())
    for name, content in state.files.items():
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.digest()
