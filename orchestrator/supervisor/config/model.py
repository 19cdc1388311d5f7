"""What stands in `workers.yaml`: every key, what it may be, and what is meant without it.

The models say what a file may look like; whether a directory is there or a token is one is asked
of the machine later, by `workers.py`. Their descriptions are those of the JSON Schema that editors
read. A key is here only when something is done with it.
"""

import re
from typing import Annotated, Final, Literal, TypeGuard

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from orchestrator.kernel.kept_log import FILE_BYTES, FILES, KEEP_S
from orchestrator.protocol.base import printable, without_nul
from orchestrator.protocol.jobs import Kind
from orchestrator.protocol.limits import (
    ENV_ENTRIES,
    GRACE_DEFAULT_S,
    GRACE_MAX_S,
    KIB,
    MIB,
    NICE_DEFAULT,
    OUTPUT_CAP_BYTES,
    SLOTS_MAX,
    TAGS,
    TIMEOUT_MAX_S,
)
from orchestrator.protocol.requirements import Tag
from orchestrator.supervisor.config.quantities import duration, share, size, wrong

VERSION: Final = 1
WORKERS: Final = 1000
"""More processes than a machine is asked to keep alive."""
MAX_JOBS: Final = 65_536
"""More processes than a machine starts."""
LEAST_MEMORY: Final = 8 * MIB
"""With less, not even a shell starts."""
LEAST_SPOOL: Final = 32 * MIB
"""As in the worker: a job could not even go on in another segment."""
LEAST_LOG: Final = 64 * KIB
"""A few lines may be as long as this."""
RETAIN_MAX_S: Final = 10 * 366 * 86_400.0
TERABYTE: Final = 2**40
INCLUDES: Final = 100
LABEL: Final = 63
"""Of a part of a host's name, as in the DNS."""
PATH_LENGTH: Final = 4096
"""What the kernel takes."""
SECRET_NAME: Final = re.compile(
    r"(?:.*_)?(?:TOKEN|SECRET|PASSWORD|PASSWD|KEY|CREDENTIALS?)", re.IGNORECASE
)
"""Variables of such a name hold what nobody else should read."""
NAME: Final = r"[a-z0-9][a-z0-9._-]{0,63}"
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_PATTERN: Final = re.compile(r"[A-Za-z_*][A-Za-z0-9_*]*", re.ASCII)
_ADDRESS: Final = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9.-]+)):(\d{1,5})", re.ASCII)


def _name(text: str) -> str:
    if re.fullmatch(NAME, text, re.ASCII):
        return text
    better = re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip("-._")[:64]
    hint = "a name has up to 64 of a-z 0-9 . _ - and begins with a letter or digit"
    raise wrong("this is no name of a worker", f"{hint}: {better}" if better else hint)


def _path(text: str) -> str:
    without_nul(text)
    if not text.strip():
        raise wrong("this is empty", "write a path; ~ and ${HOME} are understood")
    return text


def is_path(value: object) -> TypeGuard[str]:
    """Tell whether something can be a path, for those who need it before all else is known."""
    try:
        return isinstance(value, str) and len(value) <= PATH_LENGTH and bool(_path(value))
    except ValueError:
        return False


def _variable(name: str) -> str:
    if not _VARIABLE.fullmatch(name):
        raise wrong("this is no name of a variable", "use letters, digits and _, no digit first")
    if name.startswith("ORCHESTRATOR_"):
        raise wrong("names that begin with ORCHESTRATOR_ are given by the worker itself")
    return name


def _pattern(name: str) -> str:
    if not _PATTERN.fullmatch(name):
        raise wrong("this is no name of a variable", "write a name such as LANG, or LC_*")
    return name


def _different(items: tuple[str, ...]) -> tuple[str, ...]:
    twice = next((item for number, item in enumerate(items) if item in items[:number]), None)
    if twice is not None:
        raise wrong(f"{twice!r} is in the list twice")
    return items


def address(text: object) -> tuple[str, int]:
    """Return host and port of a text such as `127.0.0.1:8700`."""
    found = _ADDRESS.fullmatch(text) if isinstance(text, str) else None
    if found is None or int(found[3]) > 65_535:
        raise wrong("this is no address", "write 127.0.0.1:8700, [::1]:8700 or 0.0.0.0:8700")
    host = found[1] or found[2]
    if not found[1] and not all(0 < len(label) <= LABEL for label in host.rstrip(".").split(".")):
        raise wrong(f"a name of a host has 1 to {LABEL} characters between its dots")
    return host, int(found[3])


def _count_or_auto(value: object) -> int | Literal["auto"]:
    if value == "auto":
        return "auto"
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_JOBS:
        raise PydanticCustomError(
            "said", "{what}", {"what": f"this must be 'auto', or from 1 to {MAX_JOBS}"}
        )
    return value


def _version(value: object) -> object:
    if type(value) is not int or value != VERSION:
        raise wrong(f"this must be {VERSION}: no other version of this format is known here")
    return value


def _a_list(value: object) -> object:
    """Take a list as what it will be: the models are strict, and a file knows no tuples."""
    return tuple(value) if isinstance(value, list) else value


Path = Annotated[str, Field(max_length=PATH_LENGTH), AfterValidator(_path)]
Name = Annotated[str, AfterValidator(_name), Field(json_schema_extra={"pattern": f"^{NAME}$"})]
Title = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(printable)]
Variable = Annotated[str, AfterValidator(_variable)]
Pattern = Annotated[str, AfterValidator(_pattern)]
Value = Annotated[str, AfterValidator(without_nul)]
Token = Annotated[str, Field(max_length=4096), AfterValidator(without_nul)]
Address = Annotated[
    tuple[str, int],
    BeforeValidator(address),
    WithJsonSchema({"type": "string", "examples": ["127.0.0.1:8700"]}),
]
MaxJobs = Annotated[
    int | Literal["auto"],
    BeforeValidator(_count_or_auto),
    WithJsonSchema(
        {"anyOf": [{"const": "auto"}, {"type": "integer", "minimum": 1, "maximum": MAX_JOBS}]}
    ),
]
Tags = Annotated[
    tuple[Tag, ...],
    BeforeValidator(_a_list),
    Field(max_length=TAGS),
    AfterValidator(_different),
]
Kinds = Annotated[
    tuple[Kind, ...],
    BeforeValidator(_a_list),
    Field(min_length=1, max_length=100),
    AfterValidator(_different),
]
Patterns = Annotated[tuple[Pattern, ...], BeforeValidator(_a_list), Field(max_length=ENV_ENTRIES)]
DrainTimeout = Annotated[float, *duration(1, TIMEOUT_MAX_S)]


class Part(BaseModel):
    """A mapping of the file: strict, because what looks almost right is a mistake."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )


class Server(Part):
    """The server that this orchestrator runs itself; leave it out when yours runs elsewhere."""

    embedded: bool = True
    """Run a server here. With false the rest of this part is ignored."""
    listen: Address = ("127.0.0.1", 8700)
    """Where it is reached, as HOST:PORT; port 0 asks for any free one."""
    insecure_http: bool = False
    """Let other machines reach it without encryption: keys are readable on the way."""
    data_dir: Path | None = None
    """Where it keeps everything; by default where the platform says."""


class Disk(Part):
    """What this machine's disk must have room for."""

    min_free: Annotated[int | float, *share()] | None = None
    """No jobs are taken while less is free: 2GiB, or 10% of the disk."""
    spool_max: Annotated[int, *size(LEAST_SPOOL, TERABYTE)] | None = None
    """How much output of a worker may wait here for the server; 1GiB when nothing is said."""


class Metrics(Part):
    """Where this machine tells its figures beside the control socket."""

    listen: Address | None = None
    """A TCP address, as HOST:PORT, at which /metrics answers; by default only the socket does."""
    insecure_http: bool = False
    """Let other machines read them there: whoever reaches the address sees them."""


class Log(Part):
    """What the orchestrator and its workers write down, and where."""

    level: Literal["info", "warning", "error"] = "info"
    """The least that is written: info, warning or error."""
    format: Literal["auto", "json", "text"] = "auto"
    """How standard error is written: auto is text on a terminal, and JSON elsewhere."""
    directory: Path | None = None
    """Where each worker keeps a log of its own, as NAME.log; by default in its own folder."""
    max_size: Annotated[int, *size(LEAST_LOG, TERABYTE)] = FILE_BYTES
    """Of one file of them; then the next one is begun."""
    max_files: Annotated[int, Field(ge=2, le=1000)] = FILES
    """How many files of a worker there are at most."""
    retain: Annotated[float, *duration(3600, RETAIN_MAX_S)] = KEEP_S
    """What is older is removed."""


class Machine(Part):
    """What all workers of this machine have in common."""

    name: Title | None = None
    """What people call this machine; by default its host name."""
    max_jobs: MaxJobs = "auto"
    """How many jobs all workers together run at once; auto is the number of processors."""
    tags: Tags = ()
    """Tags that every worker here has in addition to its own."""
    drain_timeout: DrainTimeout = 600.0
    """How long running jobs may go on after the first Ctrl-C or SIGTERM."""
    keep_jobs_on_stop: bool = False
    """Let running jobs run on when the orchestrator stops; its next start takes them up again."""
    disk: Disk = Disk()
    """What this machine's disk must have room for."""
    metrics: Metrics = Metrics()
    """Where this machine tells its figures beside the control socket."""
    log: Log = Log()
    """What the orchestrator and its workers write down, and where."""
    watch_config: bool = True
    """Apply this file when it changes, without being told to."""


class Limits(Part):
    """What a job may use."""

    timeout: Annotated[float, *duration(1, TIMEOUT_MAX_S)] | None = None
    """The longest run, also of a job that asks for more."""
    memory: Annotated[int, *size(LEAST_MEMORY, TERABYTE)] | None = None
    """Memory of the job and everything that it starts."""
    cpus: Annotated[float, Field(gt=0, le=4096)] | None = None
    """How many processors it may keep busy; 0.5 is half of one."""
    pids: Annotated[int, Field(ge=1, le=4_194_304)] | None = None
    """How many processes and threads it may have."""
    open_files: Annotated[int, Field(ge=16, le=1_048_576)] | None = None
    """How many files a process of it may have open."""
    output: Annotated[int, *size(KIB, OUTPUT_CAP_BYTES)] = OUTPUT_CAP_BYTES
    """How much output is kept; of more, the beginning and the end."""
    nice: Annotated[int, Field(ge=0, le=19)] = NICE_DEFAULT
    """How far it steps back for other programs: 0 not at all, 19 most."""


class Common(Part):
    """What may be said of one worker, or of all of them in `defaults`."""

    working_directory: Path | None = None
    """Where jobs without an upload run; relative to this file, and ~ is your home."""
    server_url: str | None = Field(default=None, max_length=2048)
    """The control server, such as https://control.example.com; by default the embedded one."""
    convex_url: str | None = Field(
        default=None, max_length=2048, json_schema_extra={"deprecated": True}
    )
    """The old name of server_url."""
    enabled: bool = True
    """With false the worker is not started."""
    paused: bool = False
    """With true it takes no jobs until this is false again."""
    create_working_directory: bool = False
    """Make the working directory when it is not there."""
    allow_insecure: bool = False
    """Speak plain HTTP to a server on another machine: the token is readable on the way."""
    concurrency: int = Field(default=1, ge=1, le=SLOTS_MAX)
    """How many jobs it runs at once."""
    tags: Tags = ()
    """What jobs can ask for, such as gpu or python3.12."""
    kinds: Kinds | None = None
    """Which kinds of jobs it takes; by default all that it can."""
    env: dict[Variable, Value] = Field(default={}, max_length=ENV_ENTRIES)
    """Variables for its jobs; values may hold ${file:…}, ${env:…}, ${cmd:…} and ${cred:…}."""
    env_file: Path | None = None
    """A file of NAME=VALUE lines for its jobs; what env says counts more."""
    env_pass: Patterns = ()
    """Names of the orchestrator's own variables that jobs get as well, such as SSH_AUTH_SOCK."""
    limits: Limits = Limits()
    """What a job may use."""
    canary: bool = False
    """Run a small job of its own before it takes any other, and when what jobs get has changed."""
    kill_grace: Annotated[float, *duration(0, GRACE_MAX_S)] = GRACE_DEFAULT_S
    """From SIGTERM to SIGKILL, where a job does not say."""
    drain_timeout: DrainTimeout | None = None
    """How long its jobs may go on when it has to restart; by default the machine's."""


class Worker(Common):
    """One worker: a directory, a credential, and what it takes."""

    name: Name | None = None
    """What people call it; by default its id."""
    token: Token | None = None
    """Its credential machine_…:worker_…:secret_…, or better ${file:PATH}, ${env:NAME},
    ${cmd:PROGRAM …} or ${cred:NAME}. It may be left out for the embedded server."""


class File(Part):
    """The configuration of an orchestrator."""

    version: Annotated[Literal[1], BeforeValidator(_version)]
    """The version of this format: 1."""
    include: Annotated[tuple[Path, ...], BeforeValidator(_a_list)] = Field(
        default=(), max_length=INCLUDES
    )
    """Files with more workers, such as workers.d/*.yaml."""
    server: Server | None = None
    """The server that this orchestrator runs itself."""
    machine: Machine = Machine()
    """What all workers of this machine have in common."""
    defaults: Common = Common()
    """What is said here holds for every worker that does not say otherwise."""
    workers: Annotated[tuple[Worker, ...], BeforeValidator(_a_list)] = Field(
        default=(), max_length=WORKERS
    )
    """The workers of this machine."""
