"""`orchestrator server prune`: forget what is old enough, or say what that is."""

import click

from orchestrator.commands import output
from orchestrator.commands.options import json_option
from orchestrator.commands.surroundings import Surroundings


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be forgotten.")
@json_option
@click.pass_obj
def prune(surroundings: Surroundings, *, dry_run: bool, as_json: bool) -> int:
    """Forget finished jobs that are older than they are kept; the server does so every hour.

    Jobs that another one still depends on stay.
    """
    from orchestrator.protocol.views import PruneReply

    with surroundings.connect() as remote:
        answer = remote.prune(dry_run=dry_run)
    if as_json:
        output.document(answer.body)
        return 0
    reply = answer.read(PruneReply)
    rows = [
        (item.state, f"{item.kept_days:g} days", str(item.jobs), str(item.output_bytes))
        for item in reply.items
    ]
    output.table(("STATE", "KEPT", "JOBS", "BYTES OF OUTPUT"), rows)
    if reply.forgotten is None:
        total = sum(item.jobs for item in reply.items)
        output.say(f"{total} jobs would be forgotten; nothing was changed")
    else:
        output.say(f"{reply.forgotten} jobs are forgotten")
    return 0
