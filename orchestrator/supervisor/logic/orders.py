"""What a worker is told: with which settings it starts, and which of them it hears of later.

The words are those of its settings. A secret is among them only where it has to be (a token, the
environment of jobs), so nothing of this is ever logged. It reads nothing and sends nothing.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.supervisor.logic.wanted import LogWanted, MachineWanted, WorkerWanted

Message = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a worker lives on this machine, and where its server is."""

    server_url: str
    state_dir: str
    token_file: str | None
    """`None`: it is told its token before anything else."""


def at_start(
    worker: WorkerWanted, machine: MachineWanted, place: Place, *, paused: str | None
) -> Message:
    """Return the settings of a new process: what is as it always is, is left out."""
    settings = live(worker, machine, paused=paused)
    usual = live(_plain(worker), _plain_machine(machine), paused=None)
    said = {key: value for key, value in settings.items() if usual.get(key) != value}
    where = {key: value for key, value in dataclasses.asdict(place).items() if value is not None}
    return {
        **said,
        **where,
        "name": worker.name,
        "working_directory": str(worker.working_directory),
        "slots": worker.concurrency,
        "tags": list(worker.tags),
    }


def live(worker: WorkerWanted, machine: MachineWanted, *, paused: str | None) -> Message:
    """Return all settings that may change while a worker lives."""
    return {
        "name": worker.name,
        "slots": worker.concurrency,
        "tags": list(worker.tags),
        "kinds": None if worker.kinds is None else list(worker.kinds),
        "env": dict(worker.env),
        "env_pass": list(worker.env_pass),
        "limits": dataclasses.asdict(worker.limits),
        "canary": worker.canary,
        "kill_grace_s": worker.kill_grace_s,
        "min_free_bytes": machine.min_free_bytes,
        "log": _log(machine.log),
        "paused": None if paused is None else {"reason": paused},
        # Also when nothing is said: then it is what it always is again.
        "spool_max_bytes": machine.spool_max_bytes,
    }


def _log(wanted: LogWanted) -> Message:
    directory = None if wanted.directory is None else str(wanted.directory)
    return {**dataclasses.asdict(wanted), "directory": directory}


def log_as(wanted: LogWanted) -> Message:
    """Return the order of the embedded server to write its log like that from now on."""
    return {"do": "log", "level": wanted.level, "format": wanted.format}


def update(settings: Mapping[str, object]) -> Message:
    """Return the order to go by these settings from now on."""
    return {"do": "update", "settings": dict(settings)}


def identify(token: str) -> Message:
    """Return the order to speak to the server with this token from now on."""
    return {"do": "identify", "token": token}


def allow(slots: int | None) -> Message:
    """Return the order to run at most so many jobs; `None`: as many as there are slots."""
    return {"do": "allow", "slots": slots}


def _plain(worker: WorkerWanted) -> WorkerWanted:
    """Return the same worker with nothing said about it."""
    return WorkerWanted(
        name=worker.name,
        identity=worker.identity,
        token=None,
        working_directory=worker.working_directory,
    )


def _plain_machine(machine: MachineWanted) -> MachineWanted:
    return MachineWanted(server=None, workers=(), name=machine.name, max_jobs=machine.max_jobs)
