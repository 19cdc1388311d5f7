"""`orchestrator upgrade`: let the running orchestrator become what is installed now."""

import json
import subprocess
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from orchestrator.commands import output
from orchestrator.commands.machine.finding import find, state_dir_option
from orchestrator.kernel.errors import ConfigInvalid, OrchestratorError, Unavailable

if TYPE_CHECKING:
    from orchestrator.client.control import Control

FAULT: Final = 70
CHECK_S: Final = 60.0
SOON_S: Final = 150.0
"""Jobs are let go in seconds, 30 s are for the proof, and as long may the way back take."""
LOOK_S: Final = 0.2
ENDS: Final = frozenset({"run.upgraded", "run.rolled_back"})


@click.command()
@click.option(
    "--to",
    "venv",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="VENV",
    help="Become the one that is installed there; if it is not ready in 30 s, return to this one.",
)
@state_dir_option
def upgrade(venv: Path | None, state_dir: Path | None) -> int:
    """Begin anew with what is installed now, in the same process; jobs run on meanwhile."""
    from orchestrator.commands.service.pieces import own_program
    from orchestrator.protocol.machine import MachineStatus, UpgradeRequest

    control = find(state_dir)
    before = control.get("/v1/status").read(MachineStatus)
    program = None if venv is None else str((venv / "bin/orchestrator").absolute())
    version = _checked((program,) if program else own_program(), before.config.path)
    output.say(f"{before.version} becomes {version}")
    control.post("/v1/upgrade", UpgradeRequest(program=program))
    event = _awaited(control, before.started_at)
    after = control.get("/v1/status").read(MachineStatus)
    if event == "run.rolled_back":
        output.say(
            f"{version} was not ready in time: {after.version} runs again, and so do its jobs"
        )
        output.advise("what was wrong with it is in its log: orchestrator service logs")
        return FAULT
    output.say(f"{after.version} is ready; {after.running_count} jobs ran on")
    if venv is not None:
        output.advise(f"a service still begins with the old one: {program} service install")
    return 0


def _checked(program: tuple[str, ...], config: str | None) -> str:
    """Return the version of a program that starts and takes the configuration, or raise."""
    version = _said_by([*program, "--version"]).split()[-1]
    if config is None:
        return version
    found: dict[str, Any] = json.loads(_said_by([*program, "check", "--json", config]))
    if found.get("drain_timeout_s") is None:
        raise ConfigInvalid(
            f"{version} does not accept {config}; nothing was changed",
            hint=f"see why with: {' '.join(program)} check {config}",
        )
    return version


def _said_by(argv: list[str]) -> str:
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=CHECK_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigInvalid(f"{argv[0]} cannot be run, nothing was changed: {error}") from error
    text = done.stdout.decode(errors="replace").strip()
    if not text:
        said = done.stderr.decode(errors="replace").strip()[-500:]
        raise ConfigInvalid(f"{argv[0]} does not work, nothing was changed: {said}")
    return text


def _awaited(control: "Control", began: datetime) -> str:
    """Return how it ended, as the one that is there then tells."""
    from orchestrator.protocol.machine import MachineStatus

    end = time.monotonic() + SOON_S
    while time.monotonic() < end:
        time.sleep(LOOK_S)
        try:
            if control.get("/v1/status").read(MachineStatus).started_at == began:
                continue
            lines = list(control.lines("/v1/events"))
        except OrchestratorError:
            continue  # nobody is there just now
        for line in lines:
            if (event := json.loads(line).get("event")) in ENDS:
                return str(event)
    raise Unavailable(f"nothing came of it within {SOON_S:g} s", hint="orchestrator status")
