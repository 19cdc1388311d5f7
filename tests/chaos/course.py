"""One run: work and harm for a while, then peace, then the question what became of everything."""

import contextlib
import json
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from tests.chaos import actor
from tests.chaos.caller import Unknown
from tests.chaos.collecting import all_jobs, collected, remains
from tests.chaos.figures import unfinished
from tests.chaos.nemesis import DECK, Nemesis
from tests.chaos.records import Blow, Entry, Journal, Note, Run, Seen, entries, read
from tests.chaos.site import Site, site
from tests.chaos.workload import Client
from tests.support.waiting import wait_until

CLIENTS: Final = 6
SETTLE_S: Final = 75.0
"""After the last fault everything is over within this (G16), once its own time has passed."""
LONGEST_JOB_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class Course:
    """How long, from which seed, how hard."""

    seconds: float
    seed: int
    folder: Path
    database: str = "sqlite"
    hosts: int = 4
    slots: int = 3
    pause_s: float = 0.7
    longest_s: float = 6.0
    harm: bool = True


class Observer(Protocol):
    """Somebody who looks on while there is work."""

    def begin(self, site: Site) -> None:
        """Look from now on."""

    def end(self) -> None:
        """Look no more."""


def run(course: Course, say: Callable[[str], None], observer: Observer | None = None) -> Run:
    """Do it all, and return what is known afterwards; nothing is left running."""
    folder = course.folder
    with site(folder, course.seed, course.database, course.hosts, course.slots) as place:
        say(f"{course.hosts} machines, {course.slots} slots each, seed {course.seed}: {folder}")
        secrets = secrets_of(place)
        if observer is not None:
            observer.begin(place)
        blows = _trouble(course, place)
        if observer is not None:
            observer.end()
        say(f"{len(blows)} blows; waiting until everything has ended")
        settle(place, say)
        seen = collect(place, folder / "observation.jsonl")
        left = place.stop()
        found = remains(place, left, secrets)
    history = [Note(**told) for told in read(folder / "history.jsonl")]
    ledger = entries(read(place.ledger))
    found["daemons"] = daemons(ledger)
    (folder / "remains.json").write_text(json.dumps(found))
    return Run(history, ledger, blows, seen, found)


def load(folder: Path) -> Run:
    """Return a run as it was left in its folder, to be judged again."""
    return Run(
        [Note(**told) for told in read(folder / "history.jsonl")],
        entries(read(folder / "ledger.jsonl")),
        [Blow(**told) for told in read(folder / "blows.jsonl")],
        [Seen.from_json(told) for told in read(folder / "observation.jsonl")],
        next(read(folder / "remains.json"), {}),
    )


def secrets_of(place: Site) -> list[str]:
    """Return what must be read nowhere but in its own file."""
    keys = [path.read_text().strip() for path in place.data.glob("*.key")]
    tokens = [host.home / "data/workers/local/token" for host in place.hosts]
    # Only the secret part of a token: the ids before it are no secret.
    return keys + [token.read_text().strip().rpartition(":")[2] for token in tokens]


def _trouble(course: Course, place: Site) -> list[Blow]:
    """Let clients and nemesis loose for a while; return what the nemesis did."""
    stop, enough = threading.Event(), threading.Event()
    journal, blows = (Journal(course.folder / f"{name}.jsonl") for name in ("history", "blows"))
    nemesis = Nemesis(
        place,
        blows,
        random.Random(f"{course.seed} nemesis"),
        enough,
        course.pause_s,
        course.longest_s,
        DECK + place.database.harm,
    )
    clients = [
        Client(
            number,
            place.people(),
            journal,
            random.Random(f"{course.seed} client {number}"),
            place.ledger,
            stop,
        )
        for number in range(CLIENTS)
    ]
    work = [_Work(client.run) for client in clients]
    if course.harm:
        work.append(_Work(nemesis.run))
    try:
        enough.wait(course.seconds)
    finally:
        enough.set()
        stop.set()
        for each in work:
            each.wait()
        nemesis.heal()
        journal.close()
        blows.close()
    for each in work:
        each.result()
    return nemesis.blows


class _Work:
    """A thread whose failure is not lost."""

    def __init__(self, target: Callable[[], None]) -> None:
        self._target = target
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._target()
        except BaseException as error:  # noqa: BLE001 – raised again by `result`
            self._error = error

    def wait(self) -> None:
        """Wait for its end."""
        self._thread.join()

    def result(self) -> None:
        """Raise what went wrong."""
        if self._error is not None:
            raise self._error


def settle(place: Site, say: Callable[[str], None]) -> None:
    """Wait until every job has ended, or until it should have."""

    def open_jobs() -> int | None:
        with contextlib.suppress(Unknown):
            return unfinished(list(all_jobs(place.judge())))
        return None

    with contextlib.suppress(AssertionError):
        wait_until(
            lambda: place.online() == len(place.hosts) and open_jobs() == 0,
            timeout_s=SETTLE_S + LONGEST_JOB_S,
        )
    say(f"{open_jobs()} jobs have not ended, {place.online()} workers are online")


def collect(place: Site, path: Path) -> list[Seen]:
    """Ask the server for everything, and write it down."""
    journal = Journal(path)
    try:
        found = []
        for seen in collected(place.judge()):
            journal.add(seen)
            found.append(seen)
        return found
    finally:
        journal.close()


def daemons(ledger: list[Entry]) -> dict[str, Any]:
    """Return pid → op of every descendant that was left behind and still lives."""
    alive = {}
    for entry in ledger:
        with contextlib.suppress(OSError):
            if entry.what == "daemon" and actor.born(entry.pid) == entry.born:
                alive[str(entry.pid)] = entry.op
    return alive
