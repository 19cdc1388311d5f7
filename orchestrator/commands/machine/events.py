"""`orchestrator events` and `dump`: what happens in the orchestrator of this machine."""

import json
from pathlib import Path

import click

from orchestrator.commands import output
from orchestrator.commands.machine.finding import find, state_dir_option
from orchestrator.commands.machine.records import words
from orchestrator.commands.options import json_option


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Go on with what happens from now on.")
@click.option("--since", type=click.IntRange(min=0), default=0, help="Only after this number.")
@state_dir_option
@json_option
def events(
    since: int,
    state_dir: Path | None,
    *,
    follow: bool,
    as_json: bool,
) -> int:
    """Show the last events of this machine's orchestrator: starts, ends, orders, reloads."""
    control = find(state_dir)
    query = {"since": str(since), "follow": "1" if follow else "0"}
    for line in control.lines("/v1/events", query):
        if as_json:
            output.line(line)
        else:
            output.data(words(json.loads(line)))
    return 0


@click.command()
@state_dir_option
def dump(state_dir: Path | None) -> int:
    """Show what every task of the orchestrator does just now, without stopping it.

    Its server and its workers write the same of themselves into their logs.
    """
    answer = find(state_dir).post("/v1/dump")
    for line in answer.body.decode("utf-8", "replace").splitlines():
        output.data(line)
    return 0
