"""Processes as the kernel tells of them: who is whose child, what they weigh, what they used."""

import os
import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

KIB_PER_MIB: Final = 1024
LOOK_S: Final = 0.0005
_TICKS: Final = os.sysconf("SC_CLK_TCK")


def children(pid: int) -> set[int]:
    """Return the children that the first thread of a process has."""
    try:
        return {int(pid) for pid in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}
    except FileNotFoundError:
        return set()


def family(root: int) -> set[int]:
    """Return a process and all its descendants, those of its other threads as well."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _fields(int(entry.name))):
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found, new = {root}, [root]
    while new:
        new = [child for pid in new for child in parents.get(pid, [])]
        found |= set(new)
    return found


def parent_of(pid: int) -> int:
    """Return the parent of a process."""
    return int(_fields(pid)[1])


def pss_mib(pids: Iterable[int]) -> float:
    """Return what processes weigh together; a page that several share counts once."""
    total = 0
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:  # it ended meanwhile
            continue
        if found := re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE):
            total += int(found[1])
    return total / KIB_PER_MIB


def cpu_s(pids: Iterable[int]) -> float:
    """Return the processor time that processes have used so far."""
    used = [fields for pid in pids if (fields := _fields(pid))]
    return sum(int(fields[11]) + int(fields[12]) for fields in used) / _TICKS


def new_child(parent: int, before: set[int], timeout_s: float) -> float | None:
    """Return when a process has a child that it did not have before."""
    deadline = time.monotonic() + timeout_s
    while (now := time.monotonic()) < deadline:
        if children(parent) - before:
            return now
        time.sleep(LOOK_S)
    return None


def _fields(pid: int) -> list[str]:
    """Return what follows the name in a process's `stat`; nothing if it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
