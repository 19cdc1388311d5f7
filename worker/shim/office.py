"""What a shim has all its life, and each of its attempts uses."""

import select
from dataclasses import dataclass

from orchestrator.kernel.cgroups import Cgroup
from worker.shim.alerts import Alerts
from worker.shim.inheritance import Inheritance
from worker.shim.journal import Journal
from worker.shim.line import Line


@dataclass(frozen=True, slots=True)
class Office:
    """A shim's furniture. The poll watches the line and the alerts already."""

    journal: Journal
    line: Line
    alerts: Alerts
    poll: "select.poll"
    inheritance: Inheritance
    null: int
    group: Cgroup | None
    """In which the shim is with all that it starts; `None` where there are no such groups."""
    controllers: frozenset[str]
    """What a cell beside the group can be held to."""
    unbound: bool = False
    """Whether there are groups here, and the shim could not enter one."""
