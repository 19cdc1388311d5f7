"""Which orchestrator of this machine is meant: the one that is named, else the one that runs."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import click

from orchestrator.kernel.errors import ConfigInvalid, NotRunning

if TYPE_CHECKING:
    from orchestrator.client.control import Control

F = TypeVar("F", bound=Callable[..., object])

SOCKET: Final = "control.sock"

state_dir_option = functools.partial(
    click.option,
    "--state-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Of which orchestrator, if several run here (the folder that its status names).",
)()
worker_argument = click.argument("worker", metavar="WORKER")


def find(state_dir: Path | None) -> "Control":
    """Return the orchestrator to speak to, or say that none runs, or that several do."""
    from orchestrator.client.control import Control

    if state_dir is not None:
        return Control(state_dir / SOCKET)
    usual = _usual()
    running = [one for one in map(Control, usual) if one.is_answered()]
    if len(running) > 1:
        listed = ", ".join(str(one.path.parent) for one in running)
        raise ConfigInvalid(
            f"several orchestrators of yours run here: {listed}",
            hint="say which one with --state-dir",
        )
    if not running:
        raise NotRunning(
            "no orchestrator of yours runs on this machine",
            hint="start it with: orchestrator run; one with a folder of its own is found "
            "with --state-dir",
        )
    return running[0]


def _usual() -> list[Path]:
    """Return where the socket of an orchestrator of this user may be, without repeating any."""
    from orchestrator.client.connection import data_dirs
    from orchestrator.kernel import paths

    folders = [paths.state_dir(), paths.data_dir(), *data_dirs(paths.connection_files())]
    return list(dict.fromkeys(folder / SOCKET for folder in folders))
