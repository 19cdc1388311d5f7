"""One server and one machine whose programs meet faults that were asked for, each one once."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from orchestrator.kernel import failpoints
from tests.chaos.database import opened
from tests.chaos.records import Blow
from tests.chaos.site import Site

STOP_S: Final = 3.0
"""How long a stopped program stays so: it misses much, and loses no lease."""
_LOOK_S: Final = 0.1
IN_SHIMS: Final = ("shim.", "grant.before_write", "grant.after_write", "grant.after_sync")
"""The sites that only shims reach."""
ENDING: Final = ("=kill", "=EIO", "=ENOSPC")
"""The actions that may end a shim: there is not much that it can do without a disk."""


@dataclass(eq=False)
class Armed(Site):
    """A place whose programs are told at which sites to fail."""

    spec: str = ""

    @property
    def hits(self) -> Path:
        """Return the folder in which the programs note which sites they reached."""
        return self.folder / "hits"

    def environment(self, home: Path) -> dict[str, str]:
        """Return the environment of a program whose home that is."""
        told = {failpoints.SPEC: self.spec, failpoints.FOLDER: str(self.hits)}
        return super().environment(home) | told

    def reached(self) -> set[str]:
        """Return the sites that were reached."""
        return {path.name for path in self.hits.iterdir() if "=" not in path.name}

    def blows(self) -> list[Blow]:
        """Return what a judge has to know: which shims were ended, because nobody else's is."""
        ended = [path for path in self.hits.glob("*=*") if path.name.endswith(ENDING)]
        return [
            Blow(path.stat().st_mtime, "kill", "shim", self.hosts[0].name, int(path.read_text()))
            for path in ended
            if path.name.startswith(IN_SHIMS)
        ]

    def met(self) -> set[str]:
        """Return the faults that happened, as `site=action`."""
        return {path.name for path in self.hits.iterdir() if "=" in path.name}


class Waker:
    """Continues, after a while, whoever was stopped."""

    def __init__(self, hits: Path) -> None:
        self._hits = hits
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        woken: set[Path] = set()
        while not self._over.wait(_LOOK_S):
            for note in set(self._hits.glob("*=stop")) - woken:
                if (pid := note.read_text()) and not self._over.wait(STOP_S):
                    woken.add(note)
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(pid), signal.SIGCONT)


@contextlib.contextmanager
def armed(folder: Path, spec: str) -> Iterator[Armed]:
    """Give a running place, and leave no process of it behind."""
    (folder / "hits").mkdir(parents=True)
    with opened("sqlite", folder / "server" / "data") as kept:
        place = Armed(folder, 1, kept, hosts_wanted=1, slots=4, spec=spec)
        with Waker(place.hits):
            try:
                place.start()
                yield place
            finally:
                place.clear()
