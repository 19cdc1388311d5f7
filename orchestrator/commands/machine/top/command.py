"""`orchestrator top`, as it is called; what it does is imported when it is."""

from pathlib import Path

import click

from orchestrator.commands.machine.finding import find, state_dir_option
from orchestrator.commands.options import json_option
from orchestrator.commands.surroundings import Surroundings


@click.command()
@click.option("--once", is_flag=True, help="Show it once as text; so it is without a terminal.")
@state_dir_option
@json_option
@click.pass_obj
def top(surroundings: Surroundings, state_dir: Path | None, *, once: bool, as_json: bool) -> int:
    """Watch this machine: its workers, what their jobs use, and its log. Keys act on a worker."""
    from orchestrator.commands.machine.top.loop import run

    return run(surroundings, find(state_dir), once=once, as_json=as_json)
