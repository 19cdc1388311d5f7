"""A worker with a parent that a test can speak through: orders one way, news the other."""

import contextlib
import json
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.processes import Program, clean_environment, program, python
from tests.support.waiting import wait_until
from tests.support.workers import Workplace


@dataclass
class Parent:
    """The parent's program, and the file by which it is told what to say."""

    program: Program
    file: Path

    def say(self, **message: object) -> None:
        """Have it send a message."""
        with self.file.open("a") as file:
            file.write(json.dumps(message) + "\n")
        self.program.signal(signal.SIGWINCH)

    def news(self) -> list[dict[str, Any]]:
        """Return every standing that the worker told, the last one at the end."""
        lines = [line for line in self.program.stdout.splitlines() if line.startswith("news ")]
        told = [json.loads(line.removeprefix("news ")) for line in lines if line.endswith("}")]
        return [one["standing"] for one in told if "standing" in one]

    def stands(self, holds: Callable[[dict[str, Any]], object], what: str) -> dict[str, Any]:
        """Return the worker's standing as soon as it is like that."""

        def standing() -> dict[str, Any] | None:
            return next((one for one in self.news()[-1:] if holds(one)), None)

        found = wait_until(standing, what=what, timeout_s=30)
        assert found is not None
        return found

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return what the worker's log has of an event."""
        lines = [line for line in self.program.stderr.splitlines() if line.endswith("}")]
        found = [json.loads(line) for line in lines if line.startswith("{")]
        return [one for one in found if one.get("event") == name]


@contextlib.contextmanager
def parented(place: Workplace, *first: dict[str, object], **more: object) -> Iterator[Parent]:
    """Give a worker with these settings, to which `first` is said before anything else."""
    settings = {
        "name": "local",
        "server_url": place.server.url,
        "working_directory": str(place.directory),
        "state_dir": str(place.state),
        **more,
    }
    file = place.home / "said"
    file.write_text("".join(json.dumps(message) + "\n" for message in first))
    around = clean_environment(place.home, PYTHONPATH=str(Path.cwd()), **place.env)
    words = python("-m", "tests.integration.worker.nursed", json.dumps(settings), str(file))
    with program(*words, env=around) as running:
        yield Parent(running, file)


@contextlib.contextmanager
def working(place: Workplace, **more: object) -> Iterator[Parent]:
    """Give one that has a session."""
    token: dict[str, object] = {"do": "identify", "token": place.server.token}
    with parented(place, token, **more) as parent:
        parent.program.wait_for('news {"state": "ready"}')
        yield parent
