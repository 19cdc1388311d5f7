"""Services of systemd, through its own command line.

`systemctl` and not the bus, because it is there wherever systemd is and needs no library, and
because what it is told can be typed by a person who wants to see for themselves.
"""

import getpass
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from orchestrator.kernel.errors import ConfigInvalid, NotFound
from orchestrator.supervisor.service import unit
from orchestrator.supervisor.service.manager import (
    ManagerRefused,
    ServiceState,
    Tell,
    ask,
    order,
    patiently,
    write_file,
)
from orchestrator.supervisor.service.wanted import Reach, ServiceWanted

SYSTEM_UNITS: Final = Path("/etc/systemd/system")
RUNS: Final = Path("/run/systemd/system")
"""Is there where systemd is the first process, and nowhere else."""
LOG_LINES: Final = 15
ASSUMED_VERSION: Final = 252
"""Of a systemd that is not here: what is written for this one works with every newer one."""
_VERSION: Final = re.compile(r"systemd (\d+)")
_PROPERTIES: Final = (
    "LoadState,ActiveState,UnitFileState,StatusText,MainPID,ActiveEnterTimestamp,NRestarts,Result"
)


class Systemd:
    """The system's manager, or that of this user."""

    def __init__(self, reach: Reach, environ: Mapping[str, str]) -> None:
        self._reach = reach
        self._environ = environ
        self._control = ["systemctl", "--no-pager"]
        if reach is Reach.USER:
            self._control.append("--user")

    def require(self) -> None:
        """Raise what a person can do where there is no such manager."""
        if not RUNS.is_dir():
            raise ConfigInvalid(
                "systemd does not run here, so there is nobody who would keep a service",
                hint="start `orchestrator run` from whatever starts things here (in a container: "
                "under an init such as tini), or see the unit with --print",
            )
        if self._reach is Reach.USER and ask([*self._control, "show-environment"]).returncode:
            raise ConfigInvalid(
                "there is no service manager for this user in this session",
                hint="log in as this user (sudo and su are no logins), or as root run: "
                f"loginctl enable-linger {_me()}; and see that XDG_RUNTIME_DIR is set",
            )

    @property
    def version(self) -> int:
        """Return systemd's version."""
        try:
            found = _VERSION.match(ask(["systemctl", "--version"]).stdout)
        except ManagerRefused:
            found = None
        return int(found[1]) if found else ASSUMED_VERSION

    def path(self, name: str) -> Path:
        """Return where the unit is."""
        return self._folder / f"{name}.service"

    @property
    def _folder(self) -> Path:
        if self._reach is Reach.SYSTEM:
            return SYSTEM_UNITS
        # The manager's own place: it began before this shell, which may have set another one.
        known = ask([*self._control, "show", "--property=UnitPath", "--value"]).stdout.split()
        own = self._environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
        usual = str(Path(own) / "systemd/user")
        return Path(next((path for path in known if path.endswith("/systemd/user")), usual))

    def text(self, wanted: ServiceWanted) -> bytes:
        """Return the unit for the systemd of this machine."""
        return unit.render(wanted, self.version).encode()

    def install(self, wanted: ServiceWanted) -> Path:
        """Write the unit, and let it begin with the machine or with its user."""
        self.require()
        path = self.path(wanted.name)
        write_file(path, self.text(wanted), unit.MARK.encode())
        order([*self._control, "daemon-reload"])
        order([*self._control, "enable", path.name])
        return path

    def uninstall(self, name: str) -> Path:
        """Stop it, and remove its unit."""
        self.require()
        path = self.path(name)
        if not path.exists():
            raise NotFound(f"there is no {path}", hint="--user or --system, and --name, say which")
        if unit.MARK not in path.read_text():
            raise ManagerRefused(
                f"{path} was not written by this program, so it is not removed",
                hint="what systemctl disable --now does, and rm, is yours to do",
            )
        patiently([*self._control, "disable", "--now", path.name], lambda: "", lambda _: None)
        path.unlink()
        order([*self._control, "daemon-reload"])
        ask([*self._control, "reset-failed", path.name])  # it may not have failed
        return path

    def start(self, name: str, tell: Tell) -> None:
        """Start it; systemd answers when it has said that it is ready."""
        self._wait_for("start", name, tell)

    def stop(self, name: str, tell: Tell) -> None:
        """Stop it."""
        self._wait_for("stop", name, tell)

    def restart(self, name: str, tell: Tell) -> None:
        """Restart it; it sees that this is a restart, and leaves its jobs running."""
        self._wait_for("restart", name, tell)

    def _wait_for(self, verb: str, name: str, tell: Tell) -> None:
        self.require()
        self._require_unit(name)
        try:
            patiently(
                [*self._control, verb, f"{name}.service"], lambda: self.state(name).status, tell
            )
        except ManagerRefused as error:
            last = ask(self.log_command(name, follow=False, lines=LOG_LINES)).stdout.strip()
            hint = "the last lines of its log:\n" + last if last else None
            raise ManagerRefused(error.message, hint=hint) from error

    def _require_unit(self, name: str) -> None:
        if self.state(name).active == "missing":
            raise NotFound(
                f"there is no service {name}.service of this {self._whose}",
                hint="orchestrator service install makes one; --user and --system say whose",
            )

    @property
    def _whose(self) -> str:
        return "machine" if self._reach is Reach.SYSTEM else "user"

    def state(self, name: str) -> ServiceState:
        """Return how it is."""
        self.require()
        done = ask([*self._control, "show", f"--property={_PROPERTIES}", f"{name}.service"])
        if done.returncode:
            raise ManagerRefused(f"systemctl show: {done.stderr.strip()}")
        said = dict(line.partition("=")[::2] for line in done.stdout.splitlines())
        if said.get("LoadState") == "not-found":
            return ServiceState("missing", enabled=False)
        pid = int(said.get("MainPID") or 0)
        result = said.get("Result", "")
        return ServiceState(
            active=said.get("ActiveState", "missing"),
            enabled=said.get("UnitFileState", "").startswith("enabled"),
            status=said.get("StatusText", ""),
            pid=pid or None,
            since=said.get("ActiveEnterTimestamp", ""),
            restarts=int(said.get("NRestarts") or 0),
            result="" if result == "success" else result,
        )

    def log_command(self, name: str, *, follow: bool, lines: int) -> list[str]:
        """Return a journalctl for it."""
        which = "--unit" if self._reach is Reach.SYSTEM else "--user-unit"
        more = ["--follow"] if follow else []
        return ["journalctl", "--no-pager", "--output=cat", f"--lines={lines}", *more, which, name]

    def linger(self) -> None:
        """Let this user's services run while nobody is logged in."""
        order(["loginctl", "enable-linger", _me()])

    @property
    def lingers(self) -> bool:
        """Tell whether they do."""
        done = ask(["loginctl", "show-user", "--property=Linger", "--value", _me()])
        return done.stdout.strip() == "yes" or Path("/var/lib/systemd/linger", _me()).exists()


def _me() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.geteuid())
