"""What was seen of a machine, as plain values: whoever gathers them judges nothing.

`None` means that nobody could look; a text called `fault` says in the system's own words why
something that was tried did not work.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator.protocol.machine import MachineStatus
from orchestrator.protocol.process import ProcessFacts
from orchestrator.supervisor.logic.wanted import MachineWanted


@dataclass(frozen=True, slots=True)
class Said:
    """Something that `orchestrator check` says of the configuration."""

    text: str
    hint: str | None
    is_error: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """The file, and what it asks for."""

    path: str
    workers: int
    """How many would run."""
    said: tuple[Said, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A file or a folder of ours that is there."""

    what: str
    path: str
    is_dir: bool
    uid: int
    mode: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """Where a worker's jobs run."""

    worker: str
    path: str
    is_writable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Socket:
    """Where the orchestrator listens, and who holds its folder."""

    path: str
    is_there: bool
    uid: int | None = None
    mode: int | None = None
    fault: str | None = None
    """Why whoever listens there did not answer."""
    holder: int | None = None
    """Who has the lock of its folder; 0: nobody; `None`: that cannot be known here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """How far one gets to a server; what comes after a fault was not tried."""

    url: str
    workers: tuple[str, ...]
    """Those that it is for."""
    host: str
    addresses: tuple[str, ...] = ()
    resolve_fault: str | None = None
    connect_fault: str | None = None
    encryption_fault: str | None = None
    expires_in_s: float | None = None
    """Of its certificate."""
    answer_fault: str | None = None
    ahead_s: float | None = None
    """How far this machine's clock is ahead of the server's."""

    @property
    def leads_there(self) -> bool:
        """Tell whether an orchestrator's server answered."""
        faults = (self.resolve_fault, self.connect_fault, self.encryption_fault, self.answer_fault)
        return not any(faults)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenAnswer:
    """What a server says of a worker's token."""

    worker: str
    place: str
    url: str
    verdict: str
    """`accepted`, `refused` or `unreachable`."""
    why: str = ""
    hint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """Room where something of ours is kept."""

    what: str
    path: str
    free: int
    floor: int
    """With less, something stops."""
    entries_left: int | None = None
    """How many more files it takes; `None` where it does not count them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """Where programs are found."""

    shell: tuple[str, ...]
    """The PATH of whoever asks."""
    service: tuple[str, ...] | None
    """The one that jobs get; `None`: there is neither a running orchestrator nor a service."""
    whose: str = ""
    """Who has that one."""
    present: frozenset[str] = frozenset()
    """Which of all these folders are there."""
    found: Mapping[str, tuple[str | None, str | None]] = field(default_factory=dict)
    """program → where the shell finds it, and where jobs do."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """program → what it says of itself, where it is asked as a job would."""
    unasked: Mapping[str, str] = field(default_factory=dict)
    """program → why it was not asked: whoever could have put it there would act as who looks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A service of ours that is installed, or not."""

    name: str
    path: str
    of_a_user: bool
    is_there: bool = True
    is_ours: bool = True
    differs: tuple[str, ...] = ()
    """Lines that this version would write in another way."""
    stop_timeout_s: float | None = None
    active: str | None = None
    """How it is; `None`: there is no service manager to ask."""
    pid: int | None = None
    enabled: bool | None = None
    lingers: bool | None = None
    """Whether a user's service runs while that user is not logged in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """Something that we are built upon."""

    name: str
    least: str
    """The version that it has to have at least."""
    version: str | None
    """The one that is here; `None`: none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """What the system allows processes of one user to do to each other."""

    is_linux: bool
    ptrace_scope: int | None = None
    """Of Yama; `None`: it is not there."""
    suid_dumpable: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything that was seen."""

    version: str
    """Of whoever asks."""
    euid: int
    state_dir: str
    socket: Socket
    kernel: Kernel
    programs: Programs
    here: ProcessFacts
    """The surroundings of whoever asks: those of an orchestrator that is started from here."""
    status: MachineStatus | None = None
    """What the running orchestrator says; `None`: none answers."""
    process: ProcessFacts | None = None
    """The running orchestrator's surroundings; `None`: none told them."""
    configuration: Configuration | None = None
    no_configuration: str = ""
    """Why there is none to look at."""
    wanted: MachineWanted | None = None
    """What is asked of this machine; `None`: nobody knows, or the file is refused as a whole."""
    entries: tuple[Entry, ...] = ()
    """The outermost folder first, which is the state directory where that is there."""
    directories: tuple[Directory, ...] = ()
    routes: tuple[Route, ...] = ()
    tokens: tuple[TokenAnswer, ...] = ()
    port_taken: str | None = None
    """The address of the embedded server, if somebody else listens there."""
    disks: tuple[Disk, ...] = ()
    units: tuple[Unit, ...] = ()
    no_units: str = ""
    """Why no service was looked for."""
    packages: tuple[Package, ...] = ()

    @property
    def around(self) -> tuple[ProcessFacts, str]:
        """Return the surroundings that count, and a word that says so if they are not real."""
        if self.process is not None:
            return self.process, ""
        return self.here, " (if it is started from this shell)"
