"""`orchestrator service`: this machine starts it, keeps it, and starts it again."""

import click

from orchestrator.commands.lazy import LazyGroup

_HERE = "orchestrator.commands.service"


@click.group("service", cls=LazyGroup)
def service() -> None:
    """Let this machine keep the orchestrator running."""


service.members = {
    "install": f"{_HERE}.install:install",
    "status": f"{_HERE}.daily:status",
    "logs": f"{_HERE}.daily:logs",
    "start": f"{_HERE}.daily:start",
    "stop": f"{_HERE}.daily:stop",
    "restart": f"{_HERE}.daily:restart",
    "uninstall": f"{_HERE}.daily:uninstall",
}
