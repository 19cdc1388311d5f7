"""What this process finds around it; a running orchestrator tells it to whoever asks."""

import os
import platform
import resource
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from orchestrator import __version__
from orchestrator.kernel import linux
from orchestrator.kernel.cgroups import Groups
from orchestrator.protocol.process import ControlGroups, ProcessFacts
from orchestrator.supervisor.logic.errand import unit_of

_GROUPS: Final = Path("/proc/self/cgroup")
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
        unit=None if unit is None else unit[0],
        of_a_user=unit is not None and unit[1],
        hidden=linux.memory_is_hidden(),
        pidfd=_has_pidfd(),
        groups=_groups(),
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


def _groups() -> ControlGroups:
    if Groups.here() is None:
        return ControlGroups(reason="no control group is delegated to the orchestrator")
    return ControlGroups(reason="a job has no control group of its own")
