"""`orchestrator jobs cancel`: ask for a job's end. Asking twice changes nothing."""

import click

from orchestrator.commands import output
from orchestrator.commands.options import job_argument, json_option
from orchestrator.commands.surroundings import Surroundings


@click.command()
@job_argument
@click.option("--comment", help="Why, for those who look at the job later.")
@json_option
@click.pass_obj
def cancel(surroundings: Surroundings, job_id: str, comment: str | None, *, as_json: bool) -> int:
    """Cancel a job; a running one ends once its whole process tree is gone."""
    from orchestrator.commands.jobs import ending
    from orchestrator.core.job_lifecycle import TERMINAL
    from orchestrator.protocol.views import JobView

    with surroundings.connect() as remote:
        answer = remote.cancel(job_id, comment)
    if as_json:
        output.document(answer.body)
        return 0
    job = answer.read(JobView)
    output.say(f"{job.id} is {ending.short(job)}")
    if job.state not in TERMINAL:
        output.advise(f"wait for its end: orchestrator jobs wait {job.id}")
    return 0
