"""A machine with a configuration file and small workers, for the length of a block."""

import contextlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from orchestrator.protocol.tokens import make_token
from tests.support.processes import Program, clean_environment, program, python
from tests.support.waiting import wait_until

REPOSITORY = Path(__file__).parents[3]


def token(number: int, secret: int = 1) -> str:
    """Return the token of the worker with that number; another secret is the same worker."""
    return f"machine_{'0' * 26}:worker_{number:026}:{make_token('secret', bytes([secret] * 32))}"


def worker(name: str, number: int, **more: Any) -> dict[str, Any]:
    """Return an entry of the file."""
    return {
        "name": name,
        "token": token(number),
        "server_url": "http://127.0.0.1:9",
        "working_directory": ".",
        **more,
    }


class Machine:
    """One machine: its file, its daemon, and what its workers wrote down."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.file = home / "workers.yaml"
        self.state = home / "state/orchestrator"
        self._daemon: Program | None = None

    @property
    def daemon(self) -> Program:
        """Return its daemon."""
        assert self._daemon is not None
        return self._daemon

    def save(self, *workers: dict[str, Any], **more: Any) -> None:
        """Write the file as an editor does: beside it, then over it."""
        document = {"version": 1, **more, "workers": list(workers)}
        self.write(yaml.safe_dump(document, sort_keys=False))

    def write(self, text: str) -> None:
        """Write any text into the file."""
        new = self.home / "workers.yaml.new"
        new.write_text(text)
        new.chmod(0o600)
        new.replace(self.file)

    def folder(self, number: int) -> Path:
        """Return the folder of a worker, which is there before it is."""
        folder = self.state / "workers" / token(number).split(":")[1]
        for each in (self.state, self.state / "workers", folder):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    @contextlib.contextmanager
    def run(self, *words: str) -> Iterator[Program]:
        """Run the daemon for the length of a block."""
        argv = python(
            "-m", "tests.integration.supervisor.small_fleet", str(self.file), str(self.state)
        )
        environment = clean_environment(self.home, PYTHONPATH=str(REPOSITORY))
        with program(*argv, *words, env=environment, cwd=REPOSITORY) as daemon:
            self._daemon = daemon
            try:
                yield daemon
            finally:
                daemon.family.look()
                for busy in self.state.glob("workers/*/busy"):
                    busy.unlink()
                if daemon.returncode is None:
                    daemon.signal(2)
                    daemon.signal(2)

    def journal(self) -> list[str]:
        """Return what the workers wrote down, in order."""
        path = self.state / "journal"
        return path.read_text().splitlines() if path.exists() else []

    def wait_for(self, line: str, *, count: int = 1, timeout_s: float = 15) -> None:
        """Wait until a line that begins so is in the journal `count` times."""
        wait_until(
            lambda: sum(entry.startswith(line) for entry in self.journal()) >= count,
            timeout_s=timeout_s,
            what=f"{line!r} {count} times in {self.journal()} of {self.daemon!r}",
        )

    def pids(self) -> dict[str, list[int]]:
        """Return which processes each worker has had."""
        found: dict[str, list[int]] = {}
        for line in self.journal():
            if match := re.match(r"(\S+) ready (\d+) ", line):
                found.setdefault(match[1], []).append(int(match[2]))
        return found

    def told(self, name: str) -> dict[str, Any]:
        """Return the settings with which a worker was started the last time."""
        [*_, line] = [line for line in self.journal() if line.startswith(f"{name} ready")]
        told: dict[str, Any] = json.loads(line.split(" ", 3)[3])
        return told

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the events of that name in the daemon's log."""
        lines = [line for line in self.daemon.stderr.splitlines() if line.startswith("{")]
        return [event for event in map(json.loads, lines) if event["event"] == name]

    def wait_for_event(self, name: str, *, count: int = 1, **keys: Any) -> dict[str, Any]:
        """Return the first event of that name with those keys, waiting for so many of them."""

        def found() -> list[dict[str, Any]]:
            matching = [one for one in self.events(name) if one.items() >= keys.items()]
            return matching if len(matching) >= count else []

        return wait_until(found, timeout_s=15, what=f"{name} {keys} of {self.daemon!r}")[-1]

    def alive(self, pid: int) -> bool:
        """Tell whether a process is there."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, 0)
            return True
        return False
