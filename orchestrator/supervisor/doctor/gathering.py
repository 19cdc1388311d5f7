"""All facts of a machine: from its running orchestrator if one answers, and from looking around.

It changes nothing and judges nothing. What it starts are the programs whose versions are told, the
`${cmd:…}` of a configuration, and the service manager's own command line.
"""

import contextlib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from orchestrator import __version__
from orchestrator.client.control import Control
from orchestrator.kernel.errors import NotRunning, OrchestratorError
from orchestrator.protocol.machine import MachineStatus
from orchestrator.protocol.process import ProcessFacts
from orchestrator.supervisor.config.loader import Loaded, load
from orchestrator.supervisor.config.location import locate
from orchestrator.supervisor.config.problem import Level, Problem
from orchestrator.supervisor.doctor import files, packages, programs, routes, services
from orchestrator.supervisor.doctor.process import describe
from orchestrator.supervisor.logic.doctor.facts import Configuration, Facts, Kernel, Said, Unit
from orchestrator.supervisor.logic.wanted import MachineWanted, WorkerIdentity, WorkerWanted

_YAMA: Final = Path("/proc/sys/kernel/yama/ptrace_scope")
_DUMPABLE: Final = Path("/proc/sys/fs/suid_dumpable")
BY_OPTIONS: Final = "the orchestrator was started with --local, so there is no file"
ANOTHER_USER: Final = "the orchestrator runs as another user, whose files those are"
_UNRESOLVED: Final = "reference"


@dataclass(frozen=True, slots=True)
class Inquiry:
    """Whom to ask, and about what."""

    environ: Mapping[str, str] = field(repr=False)
    control: Control
    state_dir: Path
    file: Path | None = None
    euid: int = field(default_factory=os.geteuid)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the running orchestrator says, as far as there is one."""

    status: MachineStatus | None = None
    process: ProcessFacts | None = None
    fault: str | None = None


def gather(inquiry: Inquiry) -> Facts:
    """Return everything that can be seen."""
    return look(inquiry, ask(inquiry.control))[0]


def look(inquiry: Inquiry, told: Asked) -> tuple[Facts, Loaded | None]:
    """Return everything that can be seen, and the configuration with its secrets."""
    state_dir = inquiry.state_dir if told.status is None else Path(told.status.state_dir)
    socket = files.socket(state_dir, inquiry.control.path, told.fault)
    runs_as = user(told, socket.uid, inquiry.euid)
    loaded, why_not = _loaded(inquiry, told, state_dir, runs_as)
    wanted = _wanted(loaded, told.status)
    kept_at = server_dir(wanted, told.status, state_dir)
    embedded = None if told.status is None or told.status.server is None else told.status.server.url
    units, no_units = services.find(inquiry.environ, told.process)
    ways = routes.servers(wanted, embedded).items()
    there = tuple(routes.travel(url, workers) for url, workers in ways)
    facts = Facts(
        version=__version__,
        euid=inquiry.euid,
        state_dir=str(state_dir),
        socket=socket,
        kernel=_kernel(),
        programs=programs.look(inquiry.environ, _service(told, units, runs_as), inquiry.euid),
        status=told.status,
        process=told.process,
        here=describe(inquiry.environ),
        configuration=None if loaded is None else _configuration(loaded, told.status),
        no_configuration=why_not,
        wanted=wanted,
        entries=files.entries(state_dir, kept_at),
        directories=files.directories(wanted),
        routes=there,
        tokens=routes.tokens(wanted, there),
        port_taken=_port_taken(wanted, told.status),
        disks=files.disks(state_dir, kept_at, wanted),
        units=units,
        no_units=no_units,
        packages=packages.needed(),
    )
    return facts, loaded


def ask(control: Control) -> Asked:
    """Return what the orchestrator says, or why it says nothing."""
    try:
        status = control.get("/v1/status").read(MachineStatus)
    except NotRunning:
        return Asked()
    except OrchestratorError as error:
        return Asked(fault=error.message)
    process = None
    with contextlib.suppress(OrchestratorError):  # it may be of another version
        process = control.get("/v1/doctor").read(ProcessFacts)
    return Asked(status, process)


def user(told: Asked, listener: int | None, euid: int) -> int | None:
    """Return as whom the orchestrator runs; `None`, if none answers.

    `listener` has the socket. What it says of itself is not enough: a job could listen there.
    """
    if told.status is None:
        return None
    said = euid if told.process is None else told.process.uid
    return listener if said == euid and listener is not None else said


def _loaded(
    inquiry: Inquiry, told: Asked, state_dir: Path, runs_as: int | None
) -> tuple[Loaded | None, str]:
    status = told.status
    if runs_as not in {None, inquiry.euid}:
        return None, ANOTHER_USER
    if inquiry.file is None and status is not None:
        if status.config.path is None:
            return None, BY_OPTIONS
        path = Path(status.config.path)
    else:
        path = locate(inquiry.file, inquiry.environ)
    return load(path, inquiry.environ, state_dir=state_dir), ""


def _configuration(loaded: Loaded, status: MachineStatus | None) -> Configuration:
    said = [_said(problem) for problem in _problems(loaded, status)]
    count = 0 if loaded.wanted is None else len(loaded.wanted.workers)
    if status is not None and status.config.digest == loaded.digest:
        count = len(status.workers)
        # What a reference leads to is for the orchestrator to say: it has another environment.
        for parked in status.config.parked:
            for problem in parked.problems:
                if problem.get("code") == _UNRESOLVED:
                    text = f"{parked.place}: {problem.get('message')}"
                    said.append(Said(text, problem.get("hint"), is_error=True))
    return Configuration(path=str(loaded.path), workers=count, said=tuple(said))


def _problems(loaded: Loaded, status: MachineStatus | None) -> list[Problem]:
    same = status is not None and status.config.digest == loaded.digest
    return [it for it in loaded.problems if not (same and it.code == _UNRESOLVED)]


def _said(problem: Problem) -> Said:
    return Said(str(problem), problem.hint, is_error=problem.level is Level.ERROR)


def _wanted(loaded: Loaded | None, status: MachineStatus | None) -> MachineWanted | None:
    """Return what is wanted of the machine: as the file says, or as the orchestrator does."""
    if loaded is not None:
        return loaded.wanted
    if status is None:
        return None
    workers = tuple(
        WorkerWanted(
            name=worker.name,
            identity=WorkerIdentity(worker.server_url or "", "", ""),
            token=None,
            working_directory=Path(worker.working_directory),
            concurrency=worker.slots,
            enabled=worker.state != "disabled",
            tags=tuple(worker.tags),
        )
        for worker in status.workers
    )
    return MachineWanted(
        server=None, workers=workers, name=status.machine, max_jobs=status.max_jobs
    )


def server_dir(
    wanted: MachineWanted | None, status: MachineStatus | None, state_dir: Path
) -> Path | None:
    """Return where the embedded server keeps everything, if there is one."""
    if wanted is not None and wanted.server is not None:
        return wanted.server.data_dir
    by_options = status is not None and status.config.path is None
    return state_dir / "server" if by_options else None


def _port_taken(wanted: MachineWanted | None, status: MachineStatus | None) -> str | None:
    if status is not None or wanted is None or wanted.server is None or wanted.server.port == 0:
        return None
    host, port = wanted.server.host, wanted.server.port
    return f"{host}:{port}" if routes.taken(host, port) else None


def _service(told: Asked, units: tuple[Unit, ...], runs_as: int | None) -> programs.Service | None:
    if told.process is None:
        return services.find_path(units)
    whose = f"PATH of the orchestrator, pid {told.process.pid}"
    return programs.Service(told.process.path, whose, runs_as)


def _kernel() -> Kernel:
    return Kernel(
        is_linux=sys.platform == "linux",
        ptrace_scope=_number(_YAMA),
        suid_dumpable=_number(_DUMPABLE),
    )


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
