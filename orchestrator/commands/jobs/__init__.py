"""`orchestrator jobs`: everything that a person does with jobs, a file per verb."""

import click

from orchestrator.commands.lazy import LazyGroup

_HERE = "orchestrator.commands.jobs"


@click.group("jobs", cls=LazyGroup)
def jobs() -> None:
    """Submit jobs, watch them, look at them, cancel them."""


jobs.members = {
    "submit": f"{_HERE}.submit:submit",
    "list": f"{_HERE}.listing:list_jobs",
    "show": f"{_HERE}.show:show",
    "explain": f"{_HERE}.explain:explain",
    "hold": f"{_HERE}.hold:hold",
    "release": f"{_HERE}.hold:release",
    "set": f"{_HERE}.amend:amend",
    "delete": f"{_HERE}.delete:delete",
    "retry": f"{_HERE}.retry:retry",
    "logs": f"{_HERE}.logs:logs",
    "wait": f"{_HERE}.wait:wait",
    "cancel": f"{_HERE}.cancel:cancel",
}
