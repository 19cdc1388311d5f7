"""A real worker process with a real launcher and real shims, against the fake server."""

import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.support.fake_server import FakeServer, serving
from tests.support.processes import Program, clean_environment, python
from tests.support.waiting import wait_until


@dataclass
class Workplace:
    """One worker's folders and its server; processes come and go."""

    home: Path
    server: FakeServer
    slots: int = 4
    arguments: list[str] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    limits: str = "true"
    """What a shell does before it becomes the worker."""
    programs: list[Program] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True)
        self.write_token(self.server.token)

    @property
    def directory(self) -> Path:
        """Return where jobs without inputs run."""
        return self.home / "project"

    @property
    def state(self) -> Path:
        """Return where the worker's memory is."""
        return self.home / "state"

    @property
    def workspaces(self) -> list[str]:
        """Return the names of the workspaces that are there."""
        folder = self.state / "workspaces"
        return sorted(entry.name for entry in folder.iterdir()) if folder.exists() else []

    @property
    def worker(self) -> Program:
        """Return the worker that was started last."""
        return self.programs[-1]

    def write_token(self, token: str) -> None:
        """Write the worker's token file."""
        path = self.home / "token"
        path.write_text(token + "\n")
        path.chmod(0o600)

    def launch(self, *arguments: str) -> Program:
        """Start a worker without waiting."""
        command = python(
            *("-m", "worker", "run", f"--server-url={self.server.url}"),
            *(f"--token-file={self.home / 'token'}", f"--directory={self.directory}"),
            *(f"--state-dir={self.state}", f"--slots={self.slots}"),
            *(*self.arguments, *arguments),
        )
        env = clean_environment(self.home, PYTHONPATH=str(Path.cwd()), **self.env)
        command = ["sh", "-c", f'{self.limits}; exec "$@"', "sh", *command]
        self.programs.append(Program(command, env=env, cwd=self.directory))
        return self.worker

    def start(self, *arguments: str) -> Program:
        """Start a worker, and wait until it has a session."""
        before = len(self.server.named("sessions"))
        program = self.launch(*arguments)
        wait_until(
            lambda: len(self.server.named("sessions")) > before or program.returncode is not None,
            what="the worker opened a session",
        )
        assert program.returncode is None, program
        program.family.look()
        return program

    def kill(self) -> None:
        """Kill the worker and nothing else."""
        self.worker.family.look()
        self.worker.signal(signal.SIGKILL)
        self.worker.wait()

    def leftovers(self) -> list[str]:
        """Return every process of this place that is alive: shims and commands."""
        found = []
        for process in psutil.process_iter(["pid", "name"]):
            with contextlib.suppress(psutil.Error, OSError):
                environ = Path(f"/proc/{process.pid}/environ").read_bytes()
                if str(self.home).encode() in environ and process.pid != os.getpid():
                    found.append(f"{process.pid} {process.name()}")
        return found

    def end(self) -> None:
        """Stop what runs, and see that nothing stays."""
        for program in self.programs:
            program.family.look()
            if program.returncode is None:
                program.signal(signal.SIGTERM)
                program.signal(signal.SIGINT)
                with contextlib.suppress(AssertionError):
                    program.wait(timeout_s=10)
                if program.returncode is None:
                    program.signal(signal.SIGKILL)
                    program.wait()
        with contextlib.suppress(AssertionError):
            wait_until(lambda: not self.leftovers(), timeout_s=5)
        left = self.leftovers()
        for line in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(line.split()[0]), signal.SIGKILL)
        assert not left, f"left behind: {left}\n{self.programs}"


@contextlib.contextmanager
def workplace(home: Path, *, slots: int = 4) -> Iterator[Workplace]:
    """Give a place with a server; at the end nothing of it is left."""
    with serving() as server:
        place = Workplace(home, server, slots)
        try:
            yield place
        finally:
            place.end()
