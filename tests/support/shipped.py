"""The service files of this repository, as the generator writes them for the usual places.

`python -m tests.support.shipped` writes them anew.
"""

import dataclasses
from pathlib import Path
from typing import Final

from orchestrator.supervisor.service import plist, unit
from orchestrator.supervisor.service.wanted import DEFAULT_PATH, Reach, Role, ServiceWanted
from tests.support.source import ROOT

OLDEST: Final = 252
"""What is written for the oldest systemd works with every newer one."""
PROGRAM: Final = "/opt/orchestrator/bin/orchestrator"
ORCHESTRATOR: Final = ServiceWanted(
    name="orchestrator",
    reach=Reach.SYSTEM,
    role=Role.ORCHESTRATOR,
    command=(PROGRAM, "run", "--config=/etc/orchestrator/workers.yaml"),
    account="orchestrator",
    environment={"PATH": DEFAULT_PATH},
)
SERVER: Final = ServiceWanted(
    name="orchestrator-server",
    reach=Reach.SYSTEM,
    role=Role.SERVER,
    command=(
        *(PROGRAM, "server", "run", "--listen=127.0.0.1:8700"),
        "--data-dir=/var/lib/orchestrator-server",
    ),
    account="orchestrator",
    environment={"PATH": DEFAULT_PATH},
)
OF_A_USER: Final = dataclasses.replace(
    ORCHESTRATOR, reach=Reach.USER, account=None, command=(PROGRAM, "run")
)
UNITS: Final = {
    "systemd/orchestrator.service": ORCHESTRATOR,
    "systemd/orchestrator-server.service": SERVER,
    "systemd/user/orchestrator.service": OF_A_USER,
}
LISTS: Final = {
    "launchd/local.orchestrator.plist": ORCHESTRATOR,
    "launchd/local.orchestrator-server.plist": dataclasses.replace(
        SERVER,
        command=(*SERVER.command[:-1], "--data-dir=/usr/local/var/orchestrator-server"),
    ),
}


def texts() -> dict[str, bytes]:
    """Return path → content of every file."""
    units = {path: unit.render(wanted, OLDEST).encode() for path, wanted in UNITS.items()}
    lists = {path: plist.render(wanted, Path("/Library/Logs")) for path, wanted in LISTS.items()}
    return units | lists


if __name__ == "__main__":
    for path, body in texts().items():
        (ROOT / path).write_bytes(body)
