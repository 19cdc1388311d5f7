"""What all commands about services share: whose service, called how, kept by whom."""

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypedDict, TypeVar

import click

if TYPE_CHECKING:
    from orchestrator.supervisor.service.manager import Manager
    from orchestrator.supervisor.service.wanted import Reach

NAME: Final = "orchestrator"
SERVER_NAME: Final = "orchestrator-server"

Command = TypeVar("Command", bound=Callable[..., object])
_OPTIONS: Final = (
    click.option(
        "--name", metavar="NAME", help=f"What it is called ({NAME}; with --server {SERVER_NAME})."
    ),
    click.option(
        "--server", is_flag=True, help="The control server alone, instead of `orchestrator run`."
    ),
    click.option(
        "--user",
        "reach",
        flag_value="user",
        help="A service of this user; for anybody but root the usual one.",
    ),
    click.option(
        "--system",
        "reach",
        flag_value="system",
        help="A service of the whole machine; for root the usual one.",
    ),
)


class Which(TypedDict):
    """What these options hand over."""

    name: str | None
    server: bool
    reach: str | None


def which(command: Command) -> Command:
    """Add the options that say which service is meant."""
    for option in _OPTIONS:
        command = option(command)
    return command


def own_program() -> tuple[str, ...]:
    """Return how this very installation is started, whatever the service's PATH is."""
    typed = Path(sys.argv[0])
    if typed.name == "__main__.py" or not os.access(typed.absolute(), os.X_OK):
        return sys.executable, "-P", "-m", "orchestrator"
    return (str(typed.absolute()),)


def reach_of(told: str | None) -> "Reach":
    """Return whose service is meant."""
    from orchestrator.supervisor.service.wanted import Reach

    usual = Reach.SYSTEM if os.geteuid() == 0 else Reach.USER
    return usual if told is None else Reach(told)


def name_of(told: str | None, *, server: bool) -> str:
    """Return what the service is called."""
    from orchestrator.supervisor.service.wanted import check_name

    return check_name(told or (SERVER_NAME if server else NAME))


def manager_of(reach: "Reach", environ: Mapping[str, str]) -> "Manager":
    """Return the service manager of this platform."""
    from orchestrator.supervisor.service.launchd import Launchd
    from orchestrator.supervisor.service.systemd import Systemd

    if sys.platform == "darwin":
        return Launchd(reach, Path.home())
    return Systemd(reach, environ)
