"""Services of launchd, through `launchctl`.

Nobody can ask launchd whether a program is ready, only whether it runs: what `start` waits for is
less than under systemd.
"""

import os
import re
from pathlib import Path
from typing import Final

from orchestrator.kernel.errors import NotFound
from orchestrator.supervisor.service import plist
from orchestrator.supervisor.service.manager import (
    ManagerRefused,
    ServiceState,
    Tell,
    ask,
    order,
    write_file,
)
from orchestrator.supervisor.service.wanted import Reach, ServiceWanted

_PID: Final = re.compile(r"^\s*pid = (\d+)$", re.MULTILINE)
_CODE: Final = re.compile(r"^\s*last exit code = (\S.*)$", re.MULTILINE)


class Launchd:
    """The system's domain, or that of this user."""

    def __init__(self, reach: Reach, home: Path) -> None:
        self._reach = reach
        self._home = home
        self._domain = "system" if reach is Reach.SYSTEM else f"gui/{os.getuid()}"

    def path(self, name: str) -> Path:
        """Return where the property list is."""
        system = self._reach is Reach.SYSTEM
        folder = Path("/Library/LaunchDaemons") if system else self._home / "Library/LaunchAgents"
        return folder / f"{plist.label(name)}.plist"

    @property
    def _logs(self) -> Path:
        system = self._reach is Reach.SYSTEM
        return Path("/Library/Logs") if system else self._home / "Library/Logs"

    def text(self, wanted: ServiceWanted) -> bytes:
        """Return the property list."""
        return plist.render(wanted, self._logs)

    def install(self, wanted: ServiceWanted) -> Path:
        """Write the property list; it begins with the machine, or when its user logs in."""
        path = self.path(wanted.name)
        write_file(path, self.text(wanted), plist.MARK)
        order(["launchctl", "enable", self._target(wanted.name)])
        return path

    def uninstall(self, name: str) -> Path:
        """Stop it, and remove its property list."""
        path = self.path(name)
        self._require_file(name)
        if plist.MARK not in path.read_bytes():
            raise ManagerRefused(f"{path} was not written by this program, so it is not removed")
        ask(["launchctl", "bootout", self._target(name)])  # it may not run
        path.unlink()
        return path

    def start(self, name: str, tell: Tell) -> None:
        """Start it."""
        self._require_file(name)
        if self.state(name).active == "missing":
            order(["launchctl", "bootstrap", self._domain, str(self.path(name))])
        else:
            order(["launchctl", "kickstart", self._target(name)])
        tell("started; launchd cannot tell when it is ready")

    def stop(self, name: str, tell: Tell) -> None:
        """Stop it until somebody starts it, or until the next login."""
        self._require_file(name)
        order(["launchctl", "bootout", self._target(name)])
        tell("stopped")

    def restart(self, name: str, tell: Tell) -> None:
        """Stop it and start it: launchd tells nobody that the one belongs to the other."""
        if self.state(name).active != "missing":
            self.stop(name, tell)
        self.start(name, tell)

    def state(self, name: str) -> ServiceState:
        """Return how it is, as far as launchd knows."""
        done = ask(["launchctl", "print", self._target(name)])
        if done.returncode:
            return ServiceState("missing", enabled=self.path(name).exists())
        pid, code = _PID.search(done.stdout), _CODE.search(done.stdout)
        return ServiceState(
            active="active" if pid else "inactive",
            enabled=True,
            pid=int(pid[1]) if pid else None,
            result="" if code is None or code[1] in {"0", "(never exited)"} else code[1],
        )

    def log_command(self, name: str, *, follow: bool, lines: int) -> list[str]:
        """Return a tail of the file that it writes."""
        more = ["-F"] if follow else []
        return ["tail", "-n", str(lines), *more, str(self._logs / f"{name}.log")]

    def _target(self, name: str) -> str:
        return f"{self._domain}/{plist.label(name)}"

    def _require_file(self, name: str) -> None:
        if not self.path(name).exists():
            raise NotFound(
                f"there is no {self.path(name)}", hint="orchestrator service install makes one"
            )
