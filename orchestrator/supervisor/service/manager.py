"""What every service manager does for us, and how its programs are asked.

It knows none of them. `systemd.py` and `launchd.py` do; whoever uses them sees only this.
"""

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from orchestrator.kernel.errors import AlreadyExists, Refused, StateUnavailable
from orchestrator.kernel.files import write_private
from orchestrator.supervisor.service.wanted import ServiceWanted

ANSWER_S: Final = 30.0
"""For questions, and for orders that wait for nobody."""
Tell = Callable[[str], None]
"""Hears how far something is, in words."""


class ManagerRefused(Refused):
    """The service manager said no, or the service did not become what it was to be."""

    code = "service_manager"


@dataclass(frozen=True, slots=True)
class ServiceState:
    """How a service is now."""

    active: str
    """`active`, `inactive`, `failed`, `activating`, `deactivating`, `reloading` or `missing`."""
    enabled: bool
    """Whether it begins by itself."""
    status: str = ""
    """What it says of itself."""
    pid: int | None = None
    since: str = ""
    restarts: int | None = None
    result: str = ""
    """Why it ended, where it failed."""

    @property
    def is_running(self) -> bool:
        """Tell whether there is a process."""
        return self.active in {"active", "reloading"}


class Manager(Protocol):
    """A service manager."""

    def path(self, name: str) -> Path:
        """Return where the file of a service is."""
        ...

    def text(self, wanted: ServiceWanted) -> bytes:
        """Return the file."""
        ...

    def install(self, wanted: ServiceWanted) -> Path:
        """Write the file and let the service begin by itself from now on."""
        ...

    def uninstall(self, name: str) -> Path:
        """Stop the service, and forget it."""
        ...

    def start(self, name: str, tell: Tell) -> None:
        """Start it, and return when it is ready."""
        ...

    def stop(self, name: str, tell: Tell) -> None:
        """Stop it, and return when it has ended."""
        ...

    def restart(self, name: str, tell: Tell) -> None:
        """Start it anew with its jobs running on, and return when it is ready."""
        ...

    def state(self, name: str) -> ServiceState:
        """Return how it is."""
        ...

    def log_command(self, name: str, *, follow: bool, lines: int) -> list[str]:
        """Return the program that shows what the service said."""
        ...


def ask(argv: Sequence[str], *, timeout_s: float = ANSWER_S) -> subprocess.CompletedProcess[str]:
    """Run a program of the manager to its end; one that is missing or hangs is told as trouble."""
    try:
        return subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ManagerRefused(
            f"{argv[0]} did not answer: {error}",
            hint="is the service manager of this user running?",
        ) from error


def order(argv: Sequence[str]) -> None:
    """Run a program of the manager, and raise what it complains of."""
    done = ask(argv)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip() or f"exit code {done.returncode}"
        raise ManagerRefused(f"{' '.join(argv)}: {said}")


def patiently(argv: Sequence[str], look: Callable[[], str], tell: Tell) -> None:
    """Run a program that waits for a service, telling meanwhile what the service says."""
    try:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
    except OSError as error:
        raise ManagerRefused(f"{argv[0]} cannot be run: {error.strerror}") from error
    told, said = "", None
    with process:
        while said is None:
            try:
                _, said = process.communicate(timeout=1)
            except subprocess.TimeoutExpired:
                if (status := look()) and status != told:
                    told = status
                    tell(status)
    if process.returncode != 0:
        raise ManagerRefused(said.decode(errors="replace").strip() or f"{argv[0]} failed")


def write_file(path: Path, body: bytes, mark: bytes) -> None:
    """Write a service's file, which everybody may read; one that is not ours is not replaced."""
    try:
        if path.exists() and mark not in path.read_bytes():
            raise AlreadyExists(
                f"{path} exists and was not written by this program",
                hint="choose another --name, or remove that file first",
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        write_private(path, body.decode())
        path.chmod(0o644)
    except PermissionError as error:
        raise StateUnavailable(
            f"cannot write {path}: {error.strerror}",
            hint="a service of the whole machine is installed as root; --user needs no rights",
        ) from error
    except OSError as error:
        raise StateUnavailable(f"cannot write {path}: {error.strerror}") from error
