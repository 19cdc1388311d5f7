"""What the configuration asks of this machine: the *wanted* side of reconciliation.

Plain values, complete and resolved: every path is absolute, every reference is followed, every
duration is in seconds and every size in bytes. Whoever reads them needs no file and no default.
They come from `workers.yaml` or from the options of `orchestrator run --local`; `plan.py` compares
two of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

from orchestrator.protocol.limits import NICE_DEFAULT, OUTPUT_CAP_BYTES

NO_ENVIRONMENT: Final[Mapping[str, str]] = MappingProxyType({})


class WorkerIdentity(NamedTuple):
    """Who a worker is, whatever it is called: a changed name is the same worker."""

    server_url: str
    """Empty for the embedded server, wherever it listens."""
    machine_id: str
    worker_id: str


class Place(NamedTuple):
    """Where something is said in a file; lines and columns count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        """Return it as compilers do, so that editors can jump to it."""
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobLimits:
    """What a job of a worker may use; `None`: as much as there is."""

    timeout_s: float | None = None
    """The longest run, also of a job that asks for more."""
    memory_bytes: int | None = None
    cpus: float | None = None
    pids: int | None = None
    open_files: int | None = None
    output_bytes: int = OUTPUT_CAP_BYTES
    nice: int = NICE_DEFAULT


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerWanted:
    """One worker."""

    name: str
    identity: WorkerIdentity
    """Both ids are empty where the worker is enrolled with the embedded server at its start."""
    token: str | None = field(repr=False)
    """The triple; `None`: it is enrolled with the embedded server at its start, and its token kept
    in its state directory."""
    working_directory: Path
    place: Place | None = None
    """Where its entry begins; `None`: it comes from no file."""
    enabled: bool = True
    paused: bool = False
    create_working_directory: bool = False
    allow_insecure: bool = False
    """Speak plain HTTP to a server that is not on this machine."""
    concurrency: int = 1
    tags: tuple[str, ...] = ()
    """The machine's and its own."""
    kinds: tuple[str, ...] | None = None
    """Which kinds of jobs it takes; `None`: all that it has."""
    env: Mapping[str, str] = field(default_factory=lambda: NO_ENVIRONMENT, repr=False)
    """For every job: what `env_file` says, and over it what `env` says."""
    env_pass: tuple[str, ...] = ()
    """Names, or patterns with `*`, of the supervisor's own environment that jobs get as well."""
    limits: JobLimits = JobLimits()
    canary: bool = False
    """Run a small job of its own before it takes any other."""
    kill_grace_s: float = 10.0
    """From SIGTERM to SIGKILL, where a job does not say."""
    drain_timeout_s: float = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerWanted:
    """The embedded server."""

    host: str = "127.0.0.1"
    port: int = 8700
    insecure_http: bool = False
    data_dir: Path


class MetricsWanted(NamedTuple):
    """Where the machine's figures are told beside the control socket."""

    host: str
    port: int
    insecure_http: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LogWanted:
    """What the orchestrator and its workers write down, and where."""

    level: str = "info"
    format: str = "auto"
    directory: Path | None = None
    """Where a worker's own log is, by its name; `None`: in its own folder."""
    file_bytes: int = 10 * 1024 * 1024
    files: int = 5
    keep_s: float = 14 * 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineWanted:
    """Everything that one orchestrator is to keep alive."""

    server: ServerWanted | None
    workers: tuple[WorkerWanted, ...]
    name: str
    """What people call the machine; its host name where nothing is said."""
    max_jobs: int
    """Of all workers together."""
    drain_timeout_s: float = 600.0
    keep_jobs_on_stop: bool = False
    min_free_bytes: int | None = None
    """As for a worker: by default 2 GiB, or a tenth of a small disk."""
    spool_max_bytes: int | None = None
    metrics: MetricsWanted | None = None
    """`None`: on the control socket alone."""
    log: LogWanted = LogWanted()
    watch: bool = True
    """Apply the file when it changes, without being told to."""
