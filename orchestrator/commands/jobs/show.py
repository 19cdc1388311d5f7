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
    """Show a job: what was asked for, every try, what came of it, and its whole story."""
    from orchestrator.commands.jobs import story, tables
    from orchestrator.protocol.views import JobDetail

    with surroundings.connect() as remote:
        answer = remote.job(job_id)
        if as_json:
            output.document(answer.body)
            return 0
        # Before the job, so that it may tell less than the job shows, and never the reverse.
        events = remote.events(job_id)
        job = remote.job(job_id).read(JobDetail)
    output.facts(tables.job_facts(job))
    if job.attempts:
        output.data("")
        output.table(
            tables.ATTEMPT_HEADERS, tables.attempt_rows(job.attempts, offline=job.worker_offline)
        )
    output.data("")
    output.table(story.HEADERS, story.rows(events, job.attempts))
    return 0
