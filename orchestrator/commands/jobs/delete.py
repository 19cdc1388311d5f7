"""`orchestrator jobs delete`: forget finished jobs before their time."""

import click

from orchestrator.commands import output
from orchestrator.commands.jobs.bulk import chosen, give, where_options
from orchestrator.commands.options import JobId
from orchestrator.commands.surroundings import Surroundings
from orchestrator.protocol.words import BulkAction


@click.command()
@click.argument("job_ids", metavar="ID...", type=JobId(), nargs=-1)
@where_options
@click.pass_obj
def delete(
    surroundings: Surroundings,
    job_ids: tuple[str, ...],
    *,
    q: str | None,
    dry_run: bool,
    yes: bool,
) -> int:
    """Delete finished jobs, their output and their story; what is not over is refused."""
    from orchestrator.kernel.errors import Refused

    where = chosen(job_ids, q, dry_run=dry_run, yes=yes)
    if where is not None:
        return give(surroundings, BulkAction.DELETE, where)
    refused = 0
    with surroundings.connect() as remote:
        for job_id in job_ids:
            try:
                remote.delete(job_id)
            except Refused as error:
                if len(job_ids) == 1:
                    raise
                output.say(f"{job_id}: {error.message}")
                refused += 1
            else:
                output.say(f"{job_id} is deleted")
    return 1 if refused else 0
