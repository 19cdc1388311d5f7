"""`orchestrator jobs show`: everything that is known of one job."""

import click

from orchestrator.commands import output
from orchestrator.commands.options import job_argument, json_option
from orchestrator.commands.surroundings import Surroundings


@click.command()
@job_argument
@json_option
@click.pass_obj
def show(surroundings: Surroundings, job_id: str, *, as_json: bool) -> int:
    """Show a job: what was asked for, every attempt, and what came of it."""
    from orchestrator.commands.jobs import tables
    from orchestrator.protocol.views import JobDetail

    with surroundings.connect() as remote:
        answer = remote.job(job_id)
    if as_json:
        output.document(answer.body)
        return 0
    job = answer.read(JobDetail)
    output.facts(tables.job_facts(job))
    if job.attempts:
        output.data("")
        output.table(tables.ATTEMPT_HEADERS, tables.attempt_rows(job.attempts))
    return 0
