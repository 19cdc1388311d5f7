"""Look for planted mistakes with the tests that are said to find each of them.

First the tests run without any mistake, each file once, so that what turns red is the mistake's
doing. What cannot be imported, or takes too long as a whole, is not a finding.
"""

import queue
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Final, TypeVar

from tests.mutants.cage import OUT_OF_TIME, Told
from tests.mutants.copy import Copy
from tests.mutants.mutant import DoesNotApply, Mutant

S = TypeVar("S")
T = TypeVar("T")

SECONDS: Final = 150.0
"""Of one run of pytest. A test has its own, shorter limit."""
FOUND: Final = "found"
_RED: Final = 1
_LINES: Final = 12


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of one mistake."""

    mutant: Mutant
    verdict: str
    seconds: float = 0.0
    said: str = ""

    @property
    def good(self) -> bool:
        """Tell whether its tests are worth something."""
        return self.verdict == FOUND

    def __str__(self) -> str:
        return f"{self.verdict:18} {self.seconds:6.1f} s  {self.mutant.name}"


class Hunt:
    """Some copies, and who uses which."""

    def __init__(self, folder: Path, jobs: int, say: Callable[[str], None]) -> None:
        self._say = say
        self._folder = folder
        self._jobs = jobs
        self._all: list[Copy] = []
        self._free: queue.SimpleQueue[Copy] = queue.SimpleQueue()
        self._red: dict[str, Told] = {}
        self._over = Event()

    def prepare(self) -> None:
        """Make the copies."""
        for number in range(self._jobs):
            self._all.append(Copy(self._folder / str(number)))
            self._free.put(self._all[-1])

    def check(self, mutants: Iterable[Mutant]) -> None:
        """Run what they need without any mistake, each file once."""
        needed: dict[str, set[str]] = {}
        for mutant in mutants:
            for test in mutant.tests:
                needed.setdefault(test.partition("::")[0], set()).add(test)
        self._beside(self._check, list(needed.items()))

    def run(self, mutants: Sequence[Mutant]) -> list[Finding]:
        """Look for each of those whose tests were run without it."""
        found = self._beside(self._one, mutants)
        return [finding for finding in found if finding is not None]

    def _beside(self, do: Callable[[S], T], things: Sequence[S]) -> list[T]:
        """Do it with each, as many at once as there are copies; end at once if we are to end."""
        with ThreadPoolExecutor(self._jobs) as hands:
            try:
                return list(hands.map(do, things))
            except BaseException:
                self._over.set()
                for copy in self._all:
                    copy.stop()
                raise

    def _check(self, needed: tuple[str, set[str]]) -> None:
        file, ids = needed
        if self._over.is_set():
            return
        with self._copy() as copy:
            told = copy.test(sorted(ids), seconds=2 * SECONDS, all_of_them=True)
        if told.code:
            self._red[file] = told
            self._say(f"red without any mistake: {file}\n{_end_of(told.said)}")

    def _one(self, mutant: Mutant) -> Finding | None:
        if self._over.is_set():
            return None
        red = [self._red[file] for file in sorted(mutant.files) if file in self._red]
        if red:
            finding = Finding(mutant, "red without it", 0.0, red[0].said)
        else:
            finding = self._planted(mutant)
        self._say(str(finding) if finding.good else f"{finding}\n{_end_of(finding.said)}")
        return finding

    def _planted(self, mutant: Mutant) -> Finding:
        began = time.monotonic()
        try:
            with self._copy() as copy, copy.mistaken(mutant):
                told = copy.test(mutant.tests, seconds=SECONDS)
        except DoesNotApply as error:
            return Finding(mutant, "does not apply", 0.0, str(error))
        return Finding(mutant, _verdict(told.code), time.monotonic() - began, told.said)

    @contextmanager
    def _copy(self) -> Iterator[Copy]:
        copy = self._free.get()
        try:
            yield copy
        finally:
            self._free.put(copy)

    def remove(self) -> None:
        """Leave nothing of the copies."""
        for copy in self._all:
            copy.remove()


@contextmanager
def hunt(jobs: int, say: Callable[[str], None]) -> Iterator[Hunt]:
    """Give a hunt in a folder of its own, of which nothing is left."""
    with tempfile.TemporaryDirectory(prefix="m-", ignore_cleanup_errors=True) as folder:
        one = Hunt(Path(folder), jobs, say)
        try:
            one.prepare()
            yield one
        finally:
            one.remove()


def _verdict(code: int) -> str:
    return {0: "NOT FOUND", _RED: FOUND, OUT_OF_TIME: "TOOK TOO LONG"}.get(code, "DOES NOT RUN")


def _end_of(said: str) -> str:
    return "\n".join(f"    {line}" for line in said.strip().splitlines()[-_LINES:])
