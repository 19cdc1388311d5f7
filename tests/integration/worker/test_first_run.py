"""The first `orchestrator run` on a terminal: asked for, tried, written, and then it runs."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.conversation import Conversation
from tests.support.processes import clean_environment, python
from tests.support.workers import Workplace


@dataclass
class _Person:
    """Somebody whose home is a place's."""

    place: Workplace

    def start(self, *arguments: str, **more: Any) -> "subprocess.Popen[bytes]":
        """Start `orchestrator`."""
        env = clean_environment(self.place.home, PYTHONPATH=str(Path.cwd()))
        command = python("-m", "orchestrator", *arguments)
        return subprocess.Popen(command, cwd=self.place.directory, env=env, **more)


def test_after_the_questions_it_runs(place: Workplace) -> None:
    """It becomes itself anew, in the same process; Ctrl-C ends it as ever."""
    job = place.server.sh("echo done")

    with Conversation(_Person(place), "run") as person:
        person.answer("Directory", "")
        person.answer("Name of the worker", "web")
        person.answer("Address of the server", place.server.url)
        person.answer("Worker's token", place.server.token)
        person.expect("worker 'web' is ready to run")
        person.expect("Running 1 worker of")
        assert place.server.end(job).exit_code == 0
        person.interrupt()
        assert person.end() == 0

    assert "start it with" not in person.seen
    assert (place.home / "config/orchestrator/workers.yaml").exists()
    assert not os.path.lexists(place.home / "state/orchestrator/control.sock")
