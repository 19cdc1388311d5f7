"""A run with small programs, for the length of a block."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.processes import Program, clean_environment, program, python
from tests.support.waiting import wait_until

REPOSITORY = Path(__file__).parents[3]
SMALL_RUN = "tests.integration.supervisor.small_run"


class Run:
    """One home with its run, and what its children wrote into the journal."""

    def __init__(self, home: Path, process: Program) -> None:
        self.home = home
        self.process = process

    @property
    def state(self) -> Path:
        """Return the worker's state directory."""
        return self.home / "data/workers/local"

    def journal(self) -> list[str]:
        """Return what the children wrote down, in order."""
        path = self.home / "data/journal"
        return path.read_text().splitlines() if path.exists() else []

    def wait_for(self, line: str, *, count: int = 1) -> None:
        """Wait until a line that begins so is in the journal `count` times."""
        wait_until(
            lambda: sum(entry.startswith(line) for entry in self.journal()) >= count,
            timeout_s=15,
            what=f"{line!r} {count} times in {self.journal()} of {self.process!r}",
        )

    def wait_until_ready(self) -> None:
        """Wait until the run says that everything is up."""
        self.process.wait_for("jobs submit")
        self.process.family.look()

    def pid_of(self, name: str) -> int:
        """Return the pid of the process of this run that has that name, once there is one."""

        def look() -> int:
            self.process.family.look()
            pids = [seen.pid for seen in self.process.family._seen if self._is(seen.pid, name)]
            return pids[0] if pids else 0

        return wait_until(look, what=f"a process {name}")

    @staticmethod
    def _is(pid: int, name: str) -> bool:
        """Tell whether a process has that name, or that word on its command line."""
        folder = Path(f"/proc/{pid}")
        try:
            comm, line = (folder / "comm").read_text().strip(), (folder / "cmdline").read_text()
        except OSError:
            return False
        return comm == name or name in line

    def told(self) -> Any:
        """Return the settings that the worker was given."""
        return json.loads((self.state / "settings.json").read_text())

    def release_shims(self) -> None:
        """Let shims that outlived their worker finish, and wait until they have."""
        self.process.family.look()

        def released() -> bool:
            with contextlib.suppress(OSError):  # nobody reads, perhaps not yet
                os.close(os.open(self.state / "gate", os.O_WRONLY | os.O_NONBLOCK))
            return not any(self._is(seen.pid, "orch-shim") for seen in self.process.family._seen)

        wait_until(released, what="all shims are gone")


def prepared(
    home: Path, *, port: int = 0, drain_timeout_s: float = 60, worker_stop_s: float = 30
) -> tuple[list[str], dict[str, str]]:
    """Make what the small programs need in `home`; return the command line and the environment."""
    state = home / "data/workers/local"
    for folder in (home / "data", home / "data/workers", state):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
    if not (state / "gate").exists():
        os.mkfifo(state / "gate")
    argv = python("-m", SMALL_RUN, str(home), str(port), str(drain_timeout_s), str(worker_stop_s))
    return argv, clean_environment(home, PYTHONPATH=str(REPOSITORY))


@contextlib.contextmanager
def run(
    home: Path,
    *,
    port: int = 0,
    drain_timeout_s: float = 60,
    worker_stop_s: float = 30,
    more: dict[str, str] | None = None,
) -> Iterator[Run]:
    """Start a run in `home`; afterwards nothing of it is left."""
    argv, environment = prepared(
        home, port=port, drain_timeout_s=drain_timeout_s, worker_stop_s=worker_stop_s
    )
    with program(*argv, env=environment | (more or {}), cwd=REPOSITORY) as process:
        running = Run(home, process)
        try:
            yield running
        finally:
            process.family.look()
            if process.returncode is None:
                process.signal(2)
                process.signal(2)
            running.release_shims()
