"""Which services of ours are installed, and what their manager and their files say of them."""

import pwd
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from orchestrator.kernel.errors import OrchestratorError
from orchestrator.protocol.process import ProcessFacts
from orchestrator.supervisor.doctor import programs
from orchestrator.supervisor.logic.doctor.facts import Unit
from orchestrator.supervisor.service import reading, unit
from orchestrator.supervisor.service.manager import ServiceState
from orchestrator.supervisor.service.systemd import RUNS, Systemd
from orchestrator.supervisor.service.wanted import Reach, ServiceWanted

NAME: Final = "orchestrator"
NOT_SYSTEMD: Final = "only services of systemd are compared: orchestrator service status"


def find(environ: Mapping[str, str], process: ProcessFacts | None) -> tuple[tuple[Unit, ...], str]:
    """Return the services of this machine and this user, or why none was looked for."""
    if sys.platform == "darwin":
        return (), NOT_SYSTEMD
    names = {(NAME, Reach.SYSTEM), (NAME, Reach.USER)}
    if process is not None and process.unit is not None:
        reach = Reach.USER if process.of_a_user else Reach.SYSTEM
        names.add((process.unit.removesuffix(".service"), reach))
    return tuple(_unit(name, reach, environ) for name, reach in sorted(names)), ""


def find_path(units: tuple[Unit, ...]) -> programs.Service | None:
    """Return the PATH that an installed service gives its jobs."""
    for each in units:
        if not (each.is_there and each.is_ours):
            continue
        reach = Reach.USER if each.of_a_user else Reach.SYSTEM
        wanted = reading.read(_text(Path(each.path)), each.name, reach)
        if wanted is not None and (path := wanted.environment.get("PATH")):
            return programs.Service(path.split(":"), f"of {each.path}", _user(each, wanted))
    return None


def _user(installed: Unit, wanted: ServiceWanted) -> int | None:
    """Return as whom its jobs run; `None`, if there is no such user."""
    try:
        if installed.of_a_user:
            return Path(installed.path).stat().st_uid
        account = wanted.account or "root"
        return int(account) if account.isdigit() else pwd.getpwnam(account).pw_uid
    except (OSError, KeyError):
        return None


def _unit(name: str, reach: Reach, environ: Mapping[str, str]) -> Unit:
    manager, of_a_user = Systemd(reach, environ), reach is Reach.USER
    try:
        path = manager.path(name)
    except OrchestratorError:
        path = _usual(reach, environ) / f"{name}.service"
    text = _text(path)
    if not text:
        return Unit(name=name, path=str(path), of_a_user=of_a_user, is_there=False)
    state = _state(manager, name)
    return Unit(
        name=name,
        path=str(path),
        of_a_user=of_a_user,
        is_ours=unit.MARK in text,
        differs=_differs(text, name, reach, manager),
        stop_timeout_s=reading.stop_timeout_s(text),
        active=None if state is None else state.active,
        pid=None if state is None else state.pid,
        enabled=None if state is None else state.enabled,
        lingers=_lingers(manager) if of_a_user else None,
    )


def _usual(reach: Reach, environ: Mapping[str, str]) -> Path:
    if reach is Reach.SYSTEM:
        return Path("/etc/systemd/system")
    own = environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(own) / "systemd/user"


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _differs(text: str, name: str, reach: Reach, manager: Systemd) -> tuple[str, ...]:
    wanted = reading.read(text, name, reach)
    if wanted is None:
        return ("ExecStart is missing",)
    return reading.differences(text, unit.render(wanted, manager.version))


def _state(manager: Systemd, name: str) -> ServiceState | None:
    try:
        return manager.state(name)
    except OrchestratorError:
        return None


def _lingers(manager: Systemd) -> bool | None:
    if not RUNS.is_dir():
        return None
    try:
        return manager.lingers
    except OrchestratorError:
        return None
