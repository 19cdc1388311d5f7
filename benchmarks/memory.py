"""What an installation weighs: proportional set size (PSS) of each of its processes, by role.

PSS divides a shared page among those who share it, so the sum over a family is what the machine
really pays for it. It counts a page once; RSS would count the interpreter once for each process.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import psutil

KIB_PER_MIB = 1024
OURS = "orch-"


@dataclass(frozen=True)
class Weight:
    """How many processes have one role, and what they weigh together."""

    count: int
    pss_mib: float


def weigh(pid: int) -> dict[str, Weight]:
    """Return role → weight of a supervisor and all its descendants, commands of jobs left out."""
    root = psutil.Process(pid)
    found: dict[str, Weight] = {}
    for process in (root, *root.children(recursive=True)):
        role = "supervisor" if process == root else _role(process)
        pss = _pss_mib(process.pid)
        if role is not None and pss is not None:
            before = found.get(role, Weight(0, 0.0))
            found[role] = Weight(before.count + 1, before.pss_mib + pss)
    return found


def _role(process: psutil.Process) -> str | None:
    """Return the name that a process gave itself; the server is known by its command line."""
    try:
        name = process.name()
        if name.startswith(OURS):
            return name.removeprefix(OURS)
        return "server" if {"server", "run"} <= set(process.cmdline()) else None
    except psutil.NoSuchProcess:
        return None


def _pss_mib(pid: int) -> float | None:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:  # it ended, or is somebody else's
        return None
    found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) / KIB_PER_MIB if found else None
