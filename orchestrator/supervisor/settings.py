"""What `orchestrator run` is told when it starts.

It reads nothing: the command line fills it in.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.kernel import paths
from orchestrator.kernel.notify import Notifier
from orchestrator.supervisor.succession import Succession

WORKER_NAME = "local"


@dataclass(frozen=True, slots=True)
class Programs:
    """Which programs the children are; tests put small ones in their place."""

    server: tuple[str, ...] = ("-P", "-m", "orchestrator", "server", "run")
    """Arguments of this interpreter. `-P`, so that a folder that holds somebody's `orchestrator/`
    or `json.py` is not searched for ours."""
    worker: str = "worker.main:run_forked"
    worker_modules: tuple[str, ...] = ("worker.main", "worker.rehearsal:rehearse")
    """What the nursery imports, and calls, so that no worker has to."""
    shim: str = "worker.shim:main"


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonSettings:
    """How one orchestrator runs, whatever it is to keep alive."""

    state_dir: Path
    """What belongs to this machine: the lock, the workers' folders, the last good configuration."""
    notifier: Notifier = Notifier()
    """The line to the service manager that started us."""
    succession: Succession = field(default_factory=Succession)
    """What this process was before, and what it becomes when it has ended."""
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    """That of this process, which its jobs get a part of."""
    waits: bool = False
    """Somebody keeps it running: it waits for what is to be mended instead of ending."""
    worker_stop_s: float = 35.0
    """Longer than the worker lets a job that it interrupts go on (20 s), plus the time in which it
    delivers what the job came to (12 s)."""
    programs: Programs = Programs()


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalSettings:
    """One server and one worker on this machine."""

    directory: Path
    """Where jobs without an upload run."""
    host: str = "127.0.0.1"
    port: int = 8700
    """0 asks for any free port."""
    insecure_http: bool = False
    """Let other machines reach the server without encryption."""
    data_dir: Path = field(default_factory=paths.data_dir)
    slots: int = field(default_factory=lambda: os.cpu_count() or 1)
    tags: tuple[str, ...] = ()
    drain_timeout_s: float = 600.0
    worker_stop_s: float = 35.0
    programs: Programs = Programs()
    notifier: Notifier = Notifier()
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    succession: Succession = field(default_factory=Succession)
