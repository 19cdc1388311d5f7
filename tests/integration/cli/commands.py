"""Run the command line as a person does: a process of its own, with an environment of its own."""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.fake_api import FakeApi
from tests.support.processes import clean_environment

TIMEOUT_S = 15
PROGRAM = (sys.executable, "-m", "orchestrator")


@dataclass
class CommandLine:
    """A person in a folder, at a pipe, with an address and a key."""

    folder: Path
    env: Mapping[str, str] = field(default_factory=dict)
    program: tuple[str, ...] = PROGRAM

    def environment(self) -> dict[str, str]:
        """Return all that the program finds around it."""
        return clean_environment(self.folder, **self.env)

    def __call__(
        self, *arguments: str, stdin: bytes = b"", env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Run one command line to its end."""
        return subprocess.run(
            [*self.program, *arguments],
            cwd=self.folder,
            env=self.environment() | dict(env or {}),
            input=stdin,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        """Start one whose output is read while it runs."""
        return subprocess.Popen(
            [*self.program, *arguments],
            cwd=self.folder,
            env=self.environment(),
            **{
                "stdin": subprocess.DEVNULL,
                "stdout": subprocess.PIPE,
                "stderr": subprocess.PIPE,
                **options,
            },
        )


def at(fake: FakeApi, folder: Path) -> CommandLine:
    """Return a command line that talks to a fake server."""
    return CommandLine(folder, fake.env)
