"""`orchestrator service status|logs|start|stop|restart|uninstall`: a service that is there."""

import subprocess
from dataclasses import asdict
from typing import TYPE_CHECKING, Final, Unpack

import click

from orchestrator.commands import output
from orchestrator.commands.service.pieces import Which, manager_of, name_of, reach_of, which
from orchestrator.commands.surroundings import Surroundings

if TYPE_CHECKING:
    from orchestrator.supervisor.service.manager import Manager, ServiceState

NOT_RUNNING: Final = 4
DEGRADED: Final = 3


def _found(surroundings: Surroundings, told: Which) -> "tuple[Manager, str]":
    manager = manager_of(reach_of(told["reach"]), surroundings.environ)
    return manager, name_of(told["name"], server=told["server"])


@click.command()
@which
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document instead of words.")
@click.pass_obj
def status(surroundings: Surroundings, *, as_json: bool, **told: Unpack[Which]) -> int:
    """Tell how the service is (exit code 0: it runs; 3: it starts or ends; 4: it does not run)."""
    manager, name = _found(surroundings, told)
    state = manager.state(name)
    if as_json:
        output.document({"name": name, "file": str(manager.path(name)), **asdict(state)})
    else:
        for line in _lines(manager, name, state):
            output.data(line)
    if state.is_running:
        return 0
    return DEGRADED if state.active in {"activating", "deactivating"} else NOT_RUNNING


def _lines(manager: "Manager", name: str, state: "ServiceState") -> list[str]:
    since = f" since {state.since}" if state.since and state.is_running else ""
    why = f" ({state.result})" if state.result else ""
    begins = "begins by itself" if state.enabled else "does not begin by itself"
    parts = {
        "service": name,
        "state": f"{state.active}{why}{since}; {begins}",
        "says": state.status,
        "process": "" if state.pid is None else str(state.pid),
        "restarts": str(state.restarts) if state.restarts else "",
        "file": str(manager.path(name)) if state.active != "missing" else "",
    }
    return [f"{title:<9} {value}" for title, value in parts.items() if value]


@click.command()
@which
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes.")
@click.option(
    "-n", "--lines", type=click.IntRange(min=0), default=100, show_default=True, help="How many."
)
@click.pass_obj
def logs(surroundings: Surroundings, *, follow: bool, lines: int, **told: Unpack[Which]) -> int:
    """Show what the service said."""
    manager, name = _found(surroundings, told)
    argv = manager.log_command(name, follow=follow, lines=lines)
    try:
        return subprocess.run(argv, check=False).returncode
    except OSError as error:
        output.trouble(f"{argv[0]} cannot be run: {error.strerror}", "is it installed?")
        return 1


@click.command()
@which
@click.pass_obj
def start(surroundings: Surroundings, **told: Unpack[Which]) -> int:
    """Start the service, and wait until it is ready."""
    manager, name = _found(surroundings, told)
    manager.start(name, output.say)
    output.say(f"{name} runs: {manager.state(name).status or 'ready'}")
    return 0


@click.command()
@which
@click.pass_obj
def stop(surroundings: Surroundings, **told: Unpack[Which]) -> int:
    """Stop the service: jobs that run may finish within `drain_timeout`."""
    manager, name = _found(surroundings, told)
    manager.stop(name, output.say)
    output.say(f"{name} has ended")
    return 0


@click.command()
@which
@click.pass_obj
def restart(surroundings: Surroundings, **told: Unpack[Which]) -> int:
    """Start the service anew, and wait until it is ready: its jobs run on meanwhile."""
    manager, name = _found(surroundings, told)
    manager.restart(name, output.say)
    output.say(f"{name} runs again: {manager.state(name).status or 'ready'}")
    return 0


@click.command()
@which
@click.pass_obj
def uninstall(surroundings: Surroundings, **told: Unpack[Which]) -> int:
    """Stop the service and remove its file; configuration and data stay."""
    manager, name = _found(surroundings, told)
    path = manager.uninstall(name)
    output.say(f"{name} is no service any more: {path} is removed")
    output.advise("configuration, tokens and data are where they were")
    return 0
