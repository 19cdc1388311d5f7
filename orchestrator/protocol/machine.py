"""What an orchestrator tells of its machine, and what it may be asked: the wire of its socket.

It is spoken on one machine only, between the parts of one installation.
"""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from orchestrator.protocol import limits
from orchestrator.protocol.base import Reply, Request, Why


class RunningJob(Reply):
    """A job that a worker runs; `pid` is that of its command, once there is one."""

    job: str
    attempt: int
    name: str | None = None
    started_at: datetime | None = None
    pid: int | None = None


class WorkerStatus(Reply):
    """How one worker stands: its state, since when, why, what comes next, and when.

    `slots` is what is configured, `allowed` its share of the machine's `max_jobs` just now.
    `configured_at` is the place of its entry (`file:line:column`), `log_file` where its own log is.
    `starts` counts its processes, `contact_age_s` is how long its server has said nothing,
    `waiting_bytes` what that does not have yet. Of `running` there are at most 64. `ends` counts
    by their cause the ends of its processes; `attempts` by outcome, `ended_kinds` by kind the tries
    that ended since its process began, and `leftovers` what those had left behind and was
    killed. `running_kinds` counts what runs; what an earlier process began is *unknown* there. Its
    jobs are not held to the limits in `not_held`, because nothing on this machine can;
    `unbound`: its last shim could not enter a control group, although there are some.
    """

    name: str
    state: str
    since: datetime
    reason: str | None = None
    next_action: str | None = None
    next_at: datetime | None = None
    slots: int
    allowed: int | None = None
    running_count: int = 0
    running: list[RunningJob] = []
    pid: int | None = None
    starts: int = 0
    tags: list[str] = []
    server_url: str | None = None
    working_directory: str
    configured_at: str | None = None
    log_file: str | None = None
    waiting_bytes: int | None = None
    contact_age_s: float | None = None
    ends: dict[str, int] = {}
    attempts: dict[str, int] = {}
    ended_kinds: dict[str, int] = {}
    running_kinds: dict[str, int] = {}
    leftovers: int | None = None
    not_held: list[str] = []
    unbound: bool = False


class MetricsStatus(Reply):
    """Where the figures are told by TCP; without a `url` the problem says why they are not."""

    listen: str
    url: str | None = None
    problem: str | None = None


class ServerStatus(Reply):
    """How the embedded server stands; the problem says why it is not as the file wants it."""

    state: str
    since: datetime
    url: str | None = None
    pid: int | None = None
    starts: int = 0
    problem: str | None = None


class Banner(Reply):
    """What is wrong with a configuration that is not, or only partly, applied; `at` is a Unix time.

    Each problem is as `orchestrator check --json` tells it.
    """

    message: str
    at: float
    problems: list[dict[str, Any]] = []


class ParkedWorker(Reply):
    """An entry of the configuration that cannot be run as it is, and where it stands."""

    name: str
    place: str
    problems: list[dict[str, Any]] = []


class ConfigStatus(Reply):
    """Where what is wanted comes from: a *file*, or the *options* of a command line.

    `applied_at` is a Unix time, `generation` counts the contents that were applied, `looks` how
    often the file was read, and `plan` says what the last look changed. `results` counts what came
    of reading it: *applied*, *partly_applied*, *rejected*.
    """

    source: str
    path: str | None = None
    digest: str | None = None
    generation: int | None = None
    applied_at: float | None = None
    banner: Banner | None = None
    parked: list[ParkedWorker] = []
    looks: int = 0
    plan: str | None = None
    results: dict[str, int] = {}


class LimitsStatus(Reply):
    """What the kernel holds jobs to here: which of cpu, memory and pids, and why not all.

    Memory is looked at where the kernel does not hold it; the other two are not held then.
    """

    controllers: list[str] = []
    reason: str | None = None


class MachineStatus(Reply):
    """Everything that one orchestrator keeps alive.

    `phase` is *running* or the step of its end. The configuration has a banner while the file on
    the disk is not the one that is applied. `loop_lag_s` is by how much its own work was late
    within the last minute, at its worst.
    """

    version: str
    pid: int
    started_at: datetime
    phase: str
    machine: str
    state_dir: str
    max_jobs: int
    running_count: int
    config: ConfigStatus
    limits: LimitsStatus = LimitsStatus()
    server: ServerStatus | None = None
    metrics: MetricsStatus | None = None
    loop_lag_s: float | None = None
    workers: list[WorkerStatus] = []


class Health(Reply):
    """Whether it works; the reasons say why not."""

    ok: bool
    reasons: list[str] = []


class HoldWorkerRequest(Request):
    """Why a worker is to take nothing, and for how long; `None`: until it is resumed."""

    reason: Why | None = None
    for_s: float | None = Field(default=None, gt=0, le=limits.HOLD_MAX_S)


class StopRequest(HoldWorkerRequest):
    """Why a worker is to have no process, how long, and what becomes of the jobs that run there.

    *refuse*: nothing is done while any runs. *finish*: they do, within its `drain_timeout`.
    *interrupt*: they go back to the head of the queue.
    """

    running: Literal["refuse", "finish", "interrupt"] = "refuse"


class UpgradeRequest(Request):
    """Which program the orchestrator is to become, by its whole path; `None`: its own, anew."""

    program: str | None = Field(default=None, pattern=r"^/[^\x00]+$", max_length=4096)


class RestartRequest(Request):
    """Why a worker is to begin anew."""

    reason: Why | None = None


class Done(Reply):
    """It works, or it is done."""

    ok: bool = True


class Trouble(Reply):
    """Why something was not done: the same form that the control server has (RFC 9457)."""

    title: str
    status: int
    code: str
    detail: str
    hint: str | None = None


class Reloaded(Reply):
    """Whether there is a file that could be read again."""

    looked: bool
