"""What a worker is told when it starts and later, and what it takes from its own surroundings.

The one place that looks at the environment. The token itself is not a setting: settings travel
through the launcher as text. It comes from a file that only this process reads, or by the lifeline.
"""

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from orchestrator.kernel import kept_log
from orchestrator.kernel.errors import ConfigInvalid
from orchestrator.kernel.logs import Form
from orchestrator.protocol import limits
from orchestrator.protocol.requirements import Tag
from orchestrator.protocol.tokens import WorkerToken
from worker.capacity import SPOOL_MAX_BYTES

SPOOL_LEAST_BYTES: Final = 32 * limits.MIB
"""Four segments: with less, a job could not even go on in another one."""
_TOKEN_BYTES: Final = 4096
"""A token is 140 characters; whatever is longer is something else."""


def _absolute(path: Path) -> Path:
    """Return the real path: it is compared with what the kernel says later."""
    return Path(os.path.realpath(path))


def _or_usual_spool(said: object) -> object:
    return SPOOL_MAX_BYTES if said is None else said


Folder = Annotated[Path, AfterValidator(_absolute)]


class JobLimits(BaseModel):
    """What one job may use; `None`: as much as there is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    timeout_s: float | None = Field(default=None, gt=0)
    """The longest run, also of a job that asks for more."""
    memory_bytes: int | None = Field(default=None, ge=1)
    cpus: float | None = Field(default=None, gt=0)
    pids: int | None = Field(default=None, ge=1)
    open_files: int | None = Field(default=None, ge=16)
    output_bytes: int = Field(default=limits.OUTPUT_CAP_BYTES, ge=0)
    nice: int = Field(default=limits.NICE_DEFAULT, ge=0, le=19)


class Pause(BaseModel):
    """Take nothing for now, and why, for people."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reason: str | None = None


class LogSettings(BaseModel):
    """What is written down, and where."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    level: Literal["info", "warning", "error"] = "info"
    format: Form = Form.AUTO
    directory: Folder | None = None
    """Where our own log is, by our name; `None`: in the state directory."""
    file_bytes: int = Field(default=kept_log.FILE_BYTES, ge=1)
    files: int = Field(default=kept_log.FILES, ge=2)
    keep_s: float = Field(default=kept_log.KEEP_S, gt=0)


class LiveSettings(BaseModel):
    """What may change while a worker lives: some at once, some from its next job on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(default="worker", min_length=1, max_length=64)
    """For log lines; the server knows the worker by its token."""
    slots: int = Field(default=1, ge=1, le=limits.SLOTS_MAX)
    tags: tuple[Tag, ...] = Field(default=(), max_length=limits.TAGS)
    kinds: tuple[str, ...] | None = None
    """Which kinds of jobs it takes; `None`: all that it has."""
    env: dict[str, str] = Field(default={}, repr=False)
    """For every job; its own variables come over these."""
    env_pass: tuple[str, ...] = ()
    """What else of our own environment every job gets: names, or patterns with `*`."""
    kill_grace_s: float = Field(default=limits.GRACE_DEFAULT_S, ge=0, le=limits.GRACE_MAX_S)
    """From SIGTERM to SIGKILL, where a job does not say."""
    spool_max_bytes: Annotated[
        int, Field(ge=SPOOL_LEAST_BYTES), BeforeValidator(_or_usual_spool)
    ] = SPOOL_MAX_BYTES
    """How much may wait here for the server; what a job says beyond that is not kept. `None` is the
    default."""
    min_free_bytes: int | None = Field(default=None, ge=0)
    """What must be free on the spool's disk before anything is taken; by default 2 GiB, or a tenth
    of a small disk."""
    paused: Pause | None = None
    limits: JobLimits = JobLimits()
    log: LogSettings = LogSettings()
    canary: bool = False
    """Run a small job of our own before any other, and when what jobs get has changed."""


class WorkerSettings(LiveSettings):
    """One worker, as it is started."""

    server_url: str
    token_file: Path | None = None
    """`None`: whoever keeps it tells the token before anything else."""
    working_directory: Folder
    """Where jobs without inputs run."""
    state_dir: Folder
    """Where the spool and the workspaces are: what must survive a restart."""
    most_jobs: int | None = Field(default=None, ge=1)
    """Take so many jobs, and end when they have; `None`: go on for ever."""
    job_id: str | None = None
    """Take that job, and no other."""
    job_wait_s: float | None = Field(default=None, ge=0)
    """How long each of them is waited for; `None`: as long as it takes."""
    kill_after_s: float | None = Field(default=None, ge=0)
    """Die (SIGKILL) so long after a job was taken: a fault on purpose."""
    takeover: bool = False
    """End another process that is connected as this worker with another state directory."""

    def live(self) -> LiveSettings:
        """Return the part that may change."""
        return LiveSettings.model_validate(
            {name: getattr(self, name) for name in LiveSettings.model_fields}
        )


def environment_of_ours() -> Mapping[str, str]:
    """Return this process's environment: for settings, and for what jobs get of it."""
    return os.environ


def read_token(path: Path) -> WorkerToken:
    """Return the worker's credential from a file that nobody else can read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            entry = os.fstat(descriptor)
            raw = file.read(_TOKEN_BYTES) if stat.S_ISREG(entry.st_mode) else b""
    except OSError as error:
        raise ConfigInvalid(
            f"the worker's token cannot be read from {path}: {error.strerror}",
            hint="enrol the worker, or name the right file",
        ) from None
    if entry.st_mode & 0o077:
        raise ConfigInvalid(
            f"the token file {path} is open to other users", hint=f"close it with: chmod 600 {path}"
        )
    token = WorkerToken.parse(raw.decode("ascii", "replace").strip())
    if token is None:
        # What is in the file is not repeated: it may be a secret of another kind.
        raise ConfigInvalid(
            f"{path} holds no worker token",
            hint="a token looks like machine_…:worker_…:secret_…; enrol the worker again",
        )
    return token
