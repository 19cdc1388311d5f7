"""A service as a property list of launchd.

macOS has no control groups and no way to ask a program whether it is ready, so this has less in it
than a unit. `AbandonProcessGroup` is what lets jobs outlive a supervisor that was killed.
"""

import plistlib
from pathlib import Path
from typing import Final

from orchestrator.supervisor.service.wanted import Reach, Role, ServiceWanted

PREFIX: Final = "local."
MARK: Final = b"<!-- Written by `orchestrator service install` -->\n"
THROTTLE_S: Final = 5
SERVER_STOP_S: Final = 30
DESCRIPTORS: Final = 65_536


def label(name: str) -> str:
    """Return what launchd calls the service."""
    return f"{PREFIX}{name}"


def render(wanted: ServiceWanted, logs: Path) -> bytes:
    """Return the property list; `logs` is the folder for what the program says."""
    server = wanted.role is Role.SERVER
    said = str(logs / f"{wanted.name}.log")
    entries: dict[str, object] = {
        "Label": label(wanted.name),
        "ProgramArguments": list(wanted.command),
        "EnvironmentVariables": dict(wanted.environment),
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ThrottleInterval": THROTTLE_S,
        "ExitTimeOut": SERVER_STOP_S if server else wanted.stop_timeout_s,
        "AbandonProcessGroup": not server,
        # Anything less and macOS would slow down every job.
        "ProcessType": "Standard",
        "Umask": 0o077,
        "SoftResourceLimits": {"NumberOfFiles": DESCRIPTORS, "Core": 0},
        "HardResourceLimits": {"NumberOfFiles": DESCRIPTORS, "Core": 0},
        "StandardOutPath": said,
        "StandardErrorPath": said,
    }
    if wanted.reach is Reach.SYSTEM and wanted.account is not None:
        entries["UserName"] = wanted.account
    head, body = plistlib.dumps(entries, sort_keys=False).split(b"<plist", 1)
    return head + MARK + b"<plist" + body
