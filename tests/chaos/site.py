"""The whole place under test: one server, machines with a worker each, and a bad link to each.

It starts and stops, finds processes by their role, and does no harm by itself.
"""

import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.chaos.caller import Caller, Unknown
from tests.chaos.database import Database, opened
from tests.chaos.keeper import ROOT, Keeper
from tests.chaos.proxy import HERE, Proxy
from tests.support.installation import free_port, homely, processes_below
from tests.support.waiting import wait_until

START_S: Final = 60.0
GONE_S: Final = 10.0
NAMES: Final = {
    "worker": "orch-worker",
    "nursery": "orch-nursery",
    "launcher": "orch-launcher",
    "shim": "orch-shim",
}
"""role → the name that `ps` shows."""


@dataclass(eq=False)
class Host:
    """One machine: its home, the supervisor that is kept there, its link to the server."""

    name: str
    home: Path
    keeper: Keeper
    link: Proxy

    def pids(self, role: str) -> list[int]:
        """Return the processes that have a role here."""
        if role == "supervisor":
            return [self.keeper.pid]
        below = processes_below(f"HOME={self.home}\0")
        return [pid for pid in below if _named(pid) == NAMES[role]]

    def is_busy(self) -> bool:
        """Tell whether a command runs here, and a worker knows of it."""
        return bool(self.pids("worker")) and any(map(_has_children, self.pids("shim")))


@dataclass(eq=False)
class Site:
    """Everything that runs, in one folder."""

    folder: Path
    seed: int
    database: Database
    hosts_wanted: int = 4
    slots: int = 3
    port: int = field(default_factory=free_port)
    hosts: list[Host] = field(default_factory=list)
    door: Proxy = field(init=False)
    """The link that people use."""
    server: Keeper = field(init=False)

    def __post_init__(self) -> None:
        home = self.folder / "server"
        home.mkdir(parents=True)
        self.door = Proxy(self.port, f"{self.seed} door")
        self.server = Keeper(
            "server",
            [
                *(sys.executable, "-m", "orchestrator", "server", "run"),
                f"--listen={HERE}:{self.port}",
                f"--data-dir={self.data}",
                *self.database.arguments,
            ],
            self.environment(home),
            self.folder / "server.log",
        )

    @property
    def data(self) -> Path:
        """Return the folder in which the server keeps its data."""
        return self.folder / "server" / "data"

    @property
    def ledger(self) -> Path:
        """Return the file that only commands write."""
        return self.folder / "ledger.jsonl"

    def people(self) -> Caller:
        """Return a caller behind the bad link."""
        return Caller(self.door.port, self._key("admin.key"))

    def judge(self) -> Caller:
        """Return a caller who goes straight to the server."""
        return Caller(self.port, self._key("admin.key"))

    def _key(self, name: str) -> str:
        return (self.data / name).read_text().strip()

    def environment(self, home: Path) -> dict[str, str]:
        """Return the environment of a program whose home that is."""
        return homely(home) | {"PYTHONPATH": str(ROOT)}

    def start(self) -> None:
        """Start everything, and wait until all workers are there."""
        self.server.start()
        wait_until((self.data / "enrol.key").exists, timeout_s=START_S)
        wait_until(self.answers, timeout_s=START_S)
        self.door.start()
        for number in range(self.hosts_wanted):
            self._add_host(f"host-{number}")
        wait_until(lambda: self.online() == len(self.hosts), timeout_s=START_S)

    def _add_host(self, name: str) -> None:
        home = self.folder / name
        keys = home / "data" / "server"
        for folder in (home, home / "project", keys.parent, keys):
            folder.mkdir(mode=0o700)
        shutil.copy(self.data / "enrol.key", keys)
        link = Proxy(self.port, f"{self.seed} {name}")
        link.start()
        argv = [sys.executable, "-m", "tests.chaos.host", str(home), f"http://{HERE}:{link.port}"]
        keeper = Keeper(
            name, [*argv, str(self.slots)], self.environment(home), self.folder / f"{name}.log"
        )
        self.hosts.append(Host(name, home, keeper, link))
        keeper.start()

    def answers(self) -> bool:
        """Tell whether the server answers."""
        with contextlib.suppress(Unknown):
            return self.judge().call("GET", "/ready", patience_s=2).status == 200
        return False

    def online(self) -> int:
        """Return how many workers are online."""
        with contextlib.suppress(Unknown):
            answer = self.judge().call("GET", "/api/v1/workers")
            if answer.status == 200:
                return sum(each["online"] for each in answer.json["items"])
        return 0

    def workers(self) -> dict[str, str]:
        """Return worker id → machine."""
        tokens = {host.name: host.home / "data/workers/local/token" for host in self.hosts}
        return {token.read_text().split(":")[1]: name for name, token in tokens.items()}

    def links(self) -> list[Proxy]:
        """Return every link."""
        return [self.door, *(host.link for host in self.hosts)]

    def stop(self) -> dict[str, str]:
        """Stop everything in order; return pid → command line of what is still there."""
        for host in self.hosts:
            host.keeper.stop()
        self.server.stop()
        for link in self.links():
            link.stop()
        with contextlib.suppress(AssertionError):
            wait_until(lambda: not self._left(), timeout_s=GONE_S)
        return {str(pid): line for pid, line in self._left().items()}

    def _left(self) -> dict[int, str]:
        return processes_below(f"HOME={self.folder}/")

    def clear(self) -> None:
        """Leave no process and no port behind, whatever happened."""
        for keeper in (self.server, *(host.keeper for host in self.hosts)):
            keeper.kill()
        for link in self.links():
            link.stop()
        for pid in self._left():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def site(
    folder: Path, seed: int, database: str = "sqlite", hosts: int = 4, slots: int = 3
) -> Iterator[Site]:
    """Give a running place, and leave no process of it behind."""
    with opened(database, folder / "server" / "data") as kept:
        place = Site(folder, seed, kept, hosts, slots)
        try:
            place.start()
            yield place
        finally:
            place.clear()


def _named(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _has_children(pid: int) -> bool:
    try:
        return bool(Path(f"/proc/{pid}/task/{pid}/children").read_bytes())
    except OSError:
        return False
