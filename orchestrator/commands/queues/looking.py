"""`orchestrator queues list` and `show`: reading about queues."""

import click

from orchestrator.commands import output
from orchestrator.commands.options import json_option, queue_argument
from orchestrator.commands.surroundings import Surroundings


@click.command("list")
@json_option
@click.pass_obj
def list_queues(surroundings: Surroundings, *, as_json: bool) -> int:
    """List the queues: what waits and runs in each, and which are paused."""
    from orchestrator.commands.queues import desk, tables
    from orchestrator.protocol.views import Page, QueueView

    with surroundings.connect() as remote:
        answer = desk.everything(remote)
    if as_json:
        output.document(answer.body)
        return 0
    items = answer.read(Page[QueueView]).items
    styles = ["dim" if one.paused else "" for one in items]
    output.table(tables.HEADERS, tables.rows(items), styles=styles)
    return 0


@click.command()
@queue_argument
@json_option
@click.pass_obj
def show(surroundings: Surroundings, queue: str, *, as_json: bool) -> int:
    """Show a queue: how it is served, what it gives its jobs, who paused it and why."""
    from orchestrator.commands.queues import desk, tables
    from orchestrator.protocol.views import QueueView

    with surroundings.connect() as remote:
        answer = desk.one(remote, queue)
    if as_json:
        output.document(answer.body)
    else:
        output.facts(tables.facts(answer.read(QueueView)))
    return 0
