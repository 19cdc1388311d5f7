"""`orchestrator queues`: everything that a person does with queues."""

import click

from orchestrator.commands.lazy import LazyGroup

_HERE = "orchestrator.commands.queues"


@click.group("queues", cls=LazyGroup)
def queues() -> None:
    """Look at the queues, make and change them, pause one and let it go on."""


queues.members = {
    "list": f"{_HERE}.looking:list_queues",
    "show": f"{_HERE}.looking:show",
    "set": f"{_HERE}.orders:set_queue",
    "pause": f"{_HERE}.orders:pause",
    "resume": f"{_HERE}.orders:resume",
    "delete": f"{_HERE}.orders:delete",
}
