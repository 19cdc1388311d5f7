"""Ask the service manager what it stops us for.

It says so to nobody by itself; its list of jobs tells. When it does not answer soon, or cannot be
asked (a plain user on a machine without a message bus), a stop is a stop.
"""

import logging
import os
import shlex
from pathlib import Path
from typing import Final

import anyio

from orchestrator.kernel import logs
from orchestrator.kernel.errors import OrchestratorError
from orchestrator.kernel.launching import Launcher
from orchestrator.supervisor.logic.errand import Errand, errand, unit_of

LOGGER: Final = logging.getLogger(__name__)
PATIENCE_S: Final = 3.0
_BYTES: Final = 65_536
_GROUPS: Final = Path("/proc/self/cgroup")


async def find_out(launcher: Launcher) -> Errand:
    """Return what it is."""
    try:
        unit = unit_of(_GROUPS.read_text())
    except OSError:
        unit = None
    if unit is None:
        return Errand.STOP
    name, of_a_user = unit
    words = ["systemctl", *(["--user"] if of_a_user else []), "list-jobs"]
    words += ["--plain", "--no-legend", "--no-pager"]
    try:
        with anyio.fail_after(PATIENCE_S):
            found = errand(await _said_by(launcher, words), name)
    except (OrchestratorError, OSError, TimeoutError):
        found = Errand.STOP
    logs.event(LOGGER, logging.INFO, "run.asked_to_stop", unit=name, why=str(found))
    return found


async def _said_by(launcher: Launcher, words: list[str]) -> str:
    """Return what a program prints; only the launcher starts programs."""
    ours, theirs = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        try:
            script = f"exec {shlex.join(words)} >&3 2>/dev/null"
            child = await launcher.spawn(["/bin/sh", "-c", script], fds=[theirs])
        finally:
            os.close(theirs)
        await child.wait()
        return os.read(ours, _BYTES).decode(errors="replace")
    except BlockingIOError:
        return ""
    finally:
        os.close(ours)
