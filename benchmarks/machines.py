"""Two machines beside one server: what the isolation of workers is measured with.

Both have a quiet worker. The first has a neighbour under the same supervisor, which is what trouble
is made with; the second has none, so it shows what else slows this computer down meanwhile. The
server asks for a heartbeat each second instead of every fifteen, so that a minute tells sixty gaps.
"""

import asyncio
import contextlib
import json
import os
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from benchmarks.house import Unusable, environment, stop
from benchmarks.load import Client
from orchestrator.client.control import Control

QUIET: Final = "quiet"
ALONE: Final = "alone"
NEIGHBOUR: Final = "neighbour"
WATCHED: Final = (QUIET, ALONE)
BEAT_S: Final = 1.0
START_S: Final = 60.0
PAUSE_S: Final = 0.02
ENROL: Final = "/api/worker/v1/enrol"
SERVER: Final = f"""
import sys
from orchestrator.server.operations import sessions
sessions.HEARTBEAT_S = {BEAT_S}
from orchestrator import cli
sys.exit(cli.main())
"""
_RENEWED: Final = """
    SELECT worker.name, session.renewed_us FROM session JOIN worker ON worker.id = session.worker_id
    WHERE session.ended_us IS NULL
"""


@dataclass
class Machine:
    """One machine: its supervisor, its file, and what its log says."""

    home: Path
    process: subprocess.Popen[bytes] | None = None
    entries: list[dict[str, Any]] = field(default_factory=list)

    @property
    def control(self) -> Control:
        """Return how its supervisor is called."""
        return Control(self.home / "state/orchestrator/control.sock")

    def save(self, *entries: dict[str, Any]) -> None:
        """Write its file as an editor does: beside it, then over it."""
        self.entries = list(entries)
        new = self.home / "workers.yaml.new"
        # More than both workers' slots: whoever is busy takes no share of the other's.
        document = {"version": 1, "machine": {"max_jobs": 64}, "workers": self.entries}
        new.write_text(yaml.safe_dump(document))
        new.chmod(0o600)
        new.replace(self.home / "workers.yaml")

    def state_of(self, worker: str) -> str:
        """Return how a worker stands, in the supervisor's word."""
        status = json.loads(self.control.get("/v1/status").body)
        found = [one["state"] for one in status["workers"] if one["name"] == worker]
        return str(found[0]) if found else "unknown"

    def pid_of(self, worker: str) -> int | None:
        """Return the process of a worker, while there is one."""
        status = json.loads(self.control.get("/v1/status").body)
        pids = [one["pid"] for one in status["workers"] if one["name"] == worker]
        return pids[0] if pids else None


@dataclass
class Ground:
    """Server and machines, and the two ways in which they are looked at."""

    client: Client
    database: sqlite3.Connection
    machine: Machine
    neighbour: dict[str, Any]
    """The entry of the neighbour, as long as all is well with it."""

    def renewed(self) -> dict[str, int]:
        """Return worker → when the server heard its last heartbeat, in microseconds."""
        return dict(self.database.execute(_RENEWED).fetchall())


@contextlib.contextmanager
def ground(folder: Path) -> Iterator[Ground]:
    """Start everything, wait until all workers are online, and end it again whatever happens."""
    with contextlib.ExitStack() as stack:
        port = _free_port()
        client = stack.enter_context(_server(folder / "server", port))
        homes = [Machine(folder / name) for name in ("two", "one")]
        for machine in homes:
            machine.home.mkdir()
        entries = {name: _entry(folder, port, name) for name in (*WATCHED, NEIGHBOUR)}
        homes[0].save(entries[QUIET], entries[NEIGHBOUR])
        homes[1].save(entries[ALONE])
        for machine in homes:
            stack.enter_context(_running(machine))
        database = sqlite3.connect(
            f"file:{folder / 'server/data/orchestrator.db'}?mode=ro", uri=True
        )
        stack.callback(database.close)
        found = Ground(client, database, homes[0], entries[NEIGHBOUR])
        wait_for(lambda: set(found.renewed()) == set(entries), "all workers have a session")
        yield found


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Return as soon as the condition is true; there are no figures if it never is."""
    deadline = time.monotonic() + START_S
    while not condition():
        if time.monotonic() > deadline:
            raise Unusable(f"not within {START_S:g} s: {what}")
        time.sleep(PAUSE_S)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _program(home: Path, *argv: str) -> Iterator[subprocess.Popen[bytes]]:
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, *argv],
            cwd=home,
            env=environment(home),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        stop(process)


@contextlib.contextmanager
def _server(home: Path, port: int) -> Iterator[Client]:
    home.mkdir()
    words = ("server", "run", f"--data-dir={home / 'data'}", f"--listen=127.0.0.1:{port}")
    with _program(home, "-c", SERVER, *words):

        def answers() -> bool:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return (home / "data/enrol.key").exists()
            return False

        wait_for(answers, "the server answers")
        yield Client(port, (home / "data/admin.key").read_text().strip())


def _entry(folder: Path, port: int, name: str) -> dict[str, Any]:
    """Enrol a worker, and return its entry of a file."""
    client = Client(port, (folder / "server/data/enrol.key").read_text().strip())
    host = {
        "hostname": "bench",
        "platform": "linux",
        "arch": os.uname().machine,
        "cpu_count": os.cpu_count() or 1,
        "memory_bytes": 0,
        "python": "3",
    }
    request = {"name": name, "fingerprint": f"fingerprint of {name}", "host": host}
    [answer] = asyncio.run(client.call_all([client.post(ENROL, request)], connections=1))
    directory = folder / f"project-{name}"
    directory.mkdir()
    return {
        "name": name,
        "token": json.loads(answer)["token"],
        "server_url": f"http://127.0.0.1:{port}",
        "working_directory": str(directory),
        "tags": [name],
        "concurrency": 8,
    }


@contextlib.contextmanager
def _running(machine: Machine) -> Iterator[None]:
    words = ("-m", "orchestrator", "run", f"--config={machine.home / 'workers.yaml'}")
    with _program(machine.home, *words) as machine.process:
        yield
