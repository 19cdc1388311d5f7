"""Fetch the other managers, each into a folder of its own beside the environment: never into it.

Nothing of ours needs them. What cannot be fetched here is left out, and the table says so.
"""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from benchmarks.supervision.manager import Manager
from benchmarks.supervision.ours import Orchestrator
from benchmarks.supervision.pm2 import Pm2
from benchmarks.supervision.separate import Separate
from benchmarks.supervision.supervisord import Supervisord

PEERS: Final = Path(".venv") / ".peers"
SUPERVISOR: Final = "supervisor==4.3.0"
PM2: Final = "pm2@5.4.3"
_FETCH_S: Final = 180.0


def managers() -> tuple[list[type[Manager]], list[str]]:
    """Return whom to measure, and who was left out and why."""
    found: list[type[Manager]] = [Orchestrator]
    missing = []
    for kind, have in ((Supervisord, _have_supervisord), (Pm2, _have_pm2)):
        try:
            have()
        except (OSError, subprocess.SubprocessError) as fault:
            missing.append(f"{kind.name} is left out: {fault}")
        else:
            found.append(kind)
    return [*found, Separate], missing


def _have_supervisord() -> None:
    place = PEERS.absolute() / "supervisord"
    if not (place / "bin" / "supervisorctl").exists():
        shutil.rmtree(place, ignore_errors=True)
        _run(sys.executable, "-m", "venv", str(place))
        _run(str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", SUPERVISOR)
    Supervisord.bin = place / "bin"


def _have_pm2() -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise FileNotFoundError("there is no npm here")
    place = PEERS.absolute() / "pm2"
    program = place / "node_modules" / ".bin" / "pm2"
    if not program.exists():
        place.mkdir(parents=True, exist_ok=True)
        _run(npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(place), PM2)
    Pm2.program = program


def _run(*command: str) -> None:
    subprocess.run(command, check=True, timeout=_FETCH_S, stdout=subprocess.DEVNULL)
