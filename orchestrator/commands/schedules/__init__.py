"""`orchestrator schedules`: everything that a person does with schedules."""

import click

from orchestrator.commands.lazy import LazyGroup

_HERE = "orchestrator.commands.schedules"


@click.group("schedules", cls=LazyGroup)
def schedules() -> None:
    """Let jobs be submitted again and again, and see when and what became of it."""


schedules.members = {
    "list": f"{_HERE}.looking:list_schedules",
    "show": f"{_HERE}.looking:show",
    "add": f"{_HERE}.making:add",
    "edit": f"{_HERE}.making:edit",
    "preview": f"{_HERE}.looking:preview",
    "pause": f"{_HERE}.orders:pause",
    "resume": f"{_HERE}.orders:resume",
    "run": f"{_HERE}.orders:run",
    "history": f"{_HERE}.looking:history",
    "delete": f"{_HERE}.orders:delete",
}
