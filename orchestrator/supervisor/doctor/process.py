"""What this process finds around it; a running orchestrator tells it to whoever asks."""

import contextlib
import os
import platform
import resource
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from orchestrator import __version__
from orchestrator.kernel import linux
from orchestrator.kernel.delegation import folder_of
from orchestrator.protocol.process import ProcessFacts
from orchestrator.supervisor.logic.errand import unit_of

_GROUPS: Final = Path("/proc/self/cgroup")
_MOUNTS: Final = Path("/proc/self/mountinfo")
PROXIES: Final = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


def describe(environ: Mapping[str, str]) -> ProcessFacts:
    """Return it; of the environment only PATH and the names of proxies."""
    try:
        unit = unit_of(_GROUPS.read_text())
    except OSError:
        unit = None
    return ProcessFacts(
        version=__version__,
        python=platform.python_version(),
        pid=os.getpid(),
        uid=os.geteuid(),
        path=folders(environ),
        proxies=[name for name in environ if name.upper() in PROXIES and environ[name]],
        open_files=_limit(resource.RLIMIT_NOFILE)[1],
        processes=_limit(resource.RLIMIT_NPROC)[0],
        tasks=_tasks(),
        unit=None if unit is None else unit[0],
        of_a_user=unit is not None and unit[1],
        hidden=linux.memory_is_hidden(),
        pidfd=_has_pidfd(),
    )


def folders(environ: Mapping[str, str]) -> list[str]:
    """Return the folders of a PATH."""
    return [folder for folder in environ.get("PATH", "").split(":") if folder]


def _limit(which: int) -> tuple[int | None, int | None]:
    """Return the limit that holds and the one that it may be raised to; `None` is none."""
    soft, hard = resource.getrlimit(which)
    return (
        None if soft == resource.RLIM_INFINITY else soft,
        None if hard == resource.RLIM_INFINITY else hard,
    )


def _has_pidfd() -> bool:
    descriptor = linux.open_pidfd(os.getpid())
    if descriptor is None:
        return False
    os.close(descriptor)
    return True


def _tasks() -> int | None:
    """Return how many tasks our control group and all those above it let us have."""
    try:
        folder = folder_of(_GROUPS.read_text(), _MOUNTS.read_text())
    except OSError:
        return None
    least = None
    for group in () if folder is None else (folder, *folder.parents):
        with contextlib.suppress(OSError, ValueError):  # `max` is no number, and no limit
            said = int((group / "pids.max").read_text())
            least = said if least is None else min(least, said)
    return least
