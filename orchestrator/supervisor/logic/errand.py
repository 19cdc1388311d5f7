"""What a service manager stops us for: it says *stop* alike for a restart, a shutdown and an end.

For people these are three different things. Who restarts a service wants it to be back at once, and
its jobs, which can wait for it in their shims, undisturbed; one of them may be who restarts it. Who
shuts a machine down cannot wait for hours. Only who stops it has the patience of a drain.
"""

from enum import StrEnum
from typing import Final

SHUTDOWN: Final = "shutdown.target"
"""Is started on the way to every end of a machine, or of a user's session."""
RESTARTS: Final = frozenset({"restart", "try-restart", "reload-or-restart"})


class Errand(StrEnum):
    """Why we are to end."""

    STOP = "stop"
    RESTART = "restart"
    SHUTDOWN = "shutdown"


def errand(jobs: str, unit: str) -> Errand:
    """Return what a list of systemd's own jobs (`NUMBER UNIT TYPE STATE` in lines) means for us."""
    rows = [line.split() for line in jobs.splitlines()]
    under_way = {(row[1], row[2]) for row in rows if len(row) >= 4}
    if (SHUTDOWN, "start") in under_way:
        return Errand.SHUTDOWN
    if any(name == unit and what in RESTARTS for name, what in under_way):
        return Errand.RESTART
    return Errand.STOP


def unit_of(groups: str) -> tuple[str, bool] | None:
    """Return the unit in which a process is by its control groups, and whether it is of a user."""
    for line in groups.splitlines():
        number, _, rest = line.partition(":")
        hierarchy, _, path = rest.partition(":")
        if number != "0" and hierarchy != "name=systemd":
            continue
        parts = path.split("/")
        found = [part for part in parts if part.endswith(".service")]
        if found and not found[-1].startswith("user@"):
            return found[-1], any(part.startswith("user@") for part in found)
    return None
