"""`orchestrator batches`: many jobs that are submitted, watched and ended together."""

import click

from orchestrator.commands.lazy import LazyGroup

_HERE = "orchestrator.commands.batches"


@click.group("batches", cls=LazyGroup)
def batches() -> None:
    """Submit many jobs at once, watch them, end them, repeat what failed."""


batches.members = {
    "submit": f"{_HERE}.submit:submit",
    "list": f"{_HERE}.looks:list_all",
    "show": f"{_HERE}.looks:show",
    "wait": f"{_HERE}.looks:wait",
    "append": f"{_HERE}.submit:append",
    "close": f"{_HERE}.orders:close",
    "cancel": f"{_HERE}.orders:cancel",
    "retry-failed": f"{_HERE}.orders:retry_failed",
}
