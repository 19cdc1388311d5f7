"""Facts of a machine with which nothing is wrong, and ways to spoil them."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orchestrator.protocol.machine import ConfigStatus, LimitsStatus, MachineStatus, WorkerStatus
from orchestrator.protocol.process import ProcessFacts
from orchestrator.supervisor.logic.doctor.facts import (
    Configuration,
    Directory,
    Disk,
    Entry,
    Facts,
    Kernel,
    Package,
    Programs,
    Route,
    Socket,
    TokenAnswer,
    Unit,
)
from orchestrator.supervisor.logic.doctor.finding import Finding, Grade
from orchestrator.supervisor.logic.doctor.table import examine
from orchestrator.supervisor.logic.wanted import MachineWanted, WorkerIdentity, WorkerWanted

NOW = datetime(2026, 1, 1, tzinfo=UTC)
URL = "https://control.example.com"
FILE = "/c/workers.yaml"


def worker(**more: Any) -> WorkerWanted:
    """Return a worker that is wanted."""
    given = {
        "name": "web",
        "identity": WorkerIdentity(URL, "machine_1", "worker_1"),
        "token": "machine_1:worker_1:secret_1",
        "working_directory": Path("/p/web"),
        **more,
    }
    return WorkerWanted(**given)


def wanted(*workers: WorkerWanted, **more: Any) -> MachineWanted:
    """Return a machine that is wanted."""
    given = {"server": None, "name": "oak", "max_jobs": 4, **more}
    return MachineWanted(workers=workers or (worker(),), **given)


def standing(state: str = "ready", **more: Any) -> WorkerStatus:
    """Return how a worker stands."""
    given = {"name": "web", "state": state, "since": NOW, "slots": 1, "working_directory": "/p/web"}
    return WorkerStatus.model_validate(given | more)


def status(**more: Any) -> MachineStatus:
    """Return what a running orchestrator says."""
    given = {
        "version": "1.0",
        "pid": 4711,
        "started_at": NOW,
        "phase": "running",
        "machine": "oak",
        "state_dir": "/s",
        "max_jobs": 4,
        "running_count": 0,
        "config": ConfigStatus(source="file", path=FILE, generation=3),
        "limits": LimitsStatus(controllers=["cpu", "memory", "pids"]),
        "workers": [standing()],
    }
    return MachineStatus.model_validate(given | more)


def process(**more: Any) -> ProcessFacts:
    """Return the surroundings of a running orchestrator."""
    given = {
        "version": "1.0",
        "python": "3.11.7",
        "pid": 4711,
        "uid": 1000,
        "path": ["/usr/bin", "/bin"],
        "open_files": 65_536,
        "processes": 10_000,
        "hidden": True,
        "pidfd": True,
    }
    return ProcessFacts.model_validate(given | more)


def programs(**more: Any) -> Programs:
    """Return where programs are found."""
    given = {
        "shell": ("/usr/bin", "/bin"),
        "service": ("/usr/bin", "/bin"),
        "whose": "PATH of the orchestrator, pid 4711",
        "present": frozenset({"/usr/bin", "/bin"}),
        "found": {"git": ("/usr/bin/git", "/usr/bin/git")},
        "versions": {"git": "git version 2.39"},
        **more,
    }
    return Programs(**given)


def route(**more: Any) -> Route:
    """Return a way that leads to a server."""
    given = {
        "url": URL,
        "workers": ("web",),
        "host": "control.example.com",
        "addresses": ("192.0.2.1 port 443",),
        "expires_in_s": 60 * 86_400.0,
        "ahead_s": 0.4,
        **more,
    }
    return Route(**given)


def unit(**more: Any) -> Unit:
    """Return an installed service that runs."""
    given = {
        "name": "orchestrator",
        "path": "/etc/systemd/system/orchestrator.service",
        "of_a_user": False,
        "stop_timeout_s": 660.0,
        "active": "active",
        "pid": 4711,
        "enabled": True,
        **more,
    }
    return Unit(**given)


def entry(**more: Any) -> Entry:
    """Return a file that is ours alone."""
    given = {"what": "the file", "path": "/s/lock", "is_dir": False, "uid": 1000, "mode": 0o600}
    return Entry(**(given | more))  # type: ignore[arg-type]


def facts(**more: Any) -> Facts:
    """Return a machine with which nothing is wrong."""
    given = {
        "version": "1.0",
        "euid": 1000,
        "state_dir": "/s",
        "socket": Socket(path="/s/control.sock", is_there=True, uid=1000, mode=0o600, holder=4711),
        "kernel": Kernel(is_linux=True, ptrace_scope=1, suid_dumpable=0),
        "programs": programs(),
        "here": process(pid=1),
        "status": status(),
        "process": process(),
        "configuration": Configuration(path=FILE, workers=1),
        "wanted": wanted(),
        "entries": (entry(),),
        "directories": (Directory(worker="web", path="/p/web", is_writable=True),),
        "routes": (route(),),
        "tokens": (TokenAnswer(worker="web", place=f"{FILE}:3:5", url=URL, verdict="accepted"),),
        "disks": (Disk(what="the state directory", path="/s", free=3 << 30, floor=2 << 30),),
        "units": (unit(),),
        "packages": (Package(name="h11", least="0.16", version="0.16.0"),),
        **more,
    }
    return Facts(**given)


def stopped(**more: Any) -> Facts:
    """Return the same machine while no orchestrator runs."""
    socket = Socket(path="/s/control.sock", is_there=False, holder=0)
    given = {"status": None, "process": None, "units": (), "socket": socket, **more}
    return facts(**given)


def told(seen: Facts, check: str, grade: Grade | None = None) -> list[Finding]:
    """Return what is said of one thing, or what of it is as bad as that."""
    return [
        finding
        for finding in examine(seen)
        if finding.check == check and grade in {None, finding.grade}
    ]


def the_only(seen: Facts, check: str, grade: Grade) -> Finding:
    """Return what is said of one thing in that grade; it is said once."""
    found = told(seen, check, grade)
    assert len(found) == 1, examine(seen)
    return found[0]
