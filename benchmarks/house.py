"""A real installation in a folder of its own: `orchestrator run --local`, as a person starts it."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.load import Client

START_S: Final = 30.0
STOP_S: Final = 10.0
PAUSE_S: Final = 0.02


class Unusable(Exception):
    """The installation did not start; its log says why."""


@dataclass(frozen=True)
class House:
    """A running installation: its supervisor's pid, and a client for its server."""

    pid: int
    client: Client


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(home: Path) -> dict[str, str]:
    """Return an environment in which every file goes below `home`."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    places = {f"XDG_{name}_HOME": str(home / name.lower()) for name in ("DATA", "STATE", "CONFIG")}
    return kept | places | {"HOME": str(home)}


@contextlib.contextmanager
def running(home: Path, *, slots: int) -> Iterator[House]:
    """Start it, wait until its worker is online, and end it again whatever happens."""
    directory = home / "project"
    directory.mkdir(parents=True)
    port = free_port()
    command = ["run", "--local", "--listen", f"127.0.0.1:{port}", "--slots", str(slots)]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "orchestrator", *command],
            cwd=directory,
            env=environment(home),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield House(process.pid, _wait_ready(home, port, process))
    finally:
        stop(process)


def _wait_ready(home: Path, port: int, process: subprocess.Popen[bytes]) -> Client:
    connection = home / "state" / "orchestrator" / "connection.json"
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        if connection.exists():
            key_file = Path(json.loads(connection.read_text())["api_key_file"])
            client = Client(port, key_file.read_text().strip())
            if _has_worker(client):
                return client
        time.sleep(PAUSE_S)
    raise Unusable("the installation did not start")


def _has_worker(client: Client) -> bool:
    try:
        listed = asyncio.run(client.json("/api/v1/workers"))
    except OSError:
        return False
    return any(worker["online"] for worker in listed["items"])


def stop(process: subprocess.Popen[bytes]) -> None:
    """Drain, then interrupt, then kill: nothing may outlive a benchmark."""
    for number in (signal.SIGINT, signal.SIGINT, signal.SIGKILL):
        if process.poll() is None:
            process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_S)


def commit() -> str:
    """Return what is measured."""
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
