"""`orchestrator reload`: look at the configuration now, and say what came of it."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from orchestrator.commands import output
from orchestrator.commands.machine.finding import find, state_dir_option
from orchestrator.kernel.errors import ConfigInvalid, Unavailable

if TYPE_CHECKING:
    from orchestrator.protocol.machine import ConfigStatus

SOON_S: Final = 15.0
LOOK_S: Final = 0.1
CONFIGURATION: Final = 78


@click.command()
@state_dir_option
def reload(state_dir: Path | None) -> int:
    """Apply the configuration as it is on the disk now."""
    from orchestrator.protocol.machine import MachineStatus, Reloaded

    control = find(state_dir)
    before = control.get("/v1/status").read(MachineStatus).config.looks
    if not control.post("/v1/config:reload").read(Reloaded).looked:
        raise ConfigInvalid(
            "this orchestrator goes by its options and has no file to read again",
            hint="it was started with --local; stop it and start it with other options",
        )
    end = time.monotonic() + SOON_S
    while time.monotonic() < end:
        config = control.get("/v1/status").read(MachineStatus).config
        if config.looks != before:
            return _told(config)
        time.sleep(LOOK_S)
    raise Unavailable(
        f"nothing came of it within {SOON_S:g} s", hint="orchestrator events says what happens"
    )


def _told(config: "ConfigStatus") -> int:
    if config.banner is not None:
        output.say(config.banner.message)
        output.advise(f"see all of it with: orchestrator check {config.path or ''}".rstrip())
        return CONFIGURATION
    output.say(config.plan or "nothing changes")
    return 0
