"""`orchestrator jobs wait`: nothing but the end of a job."""

import click

from orchestrator.commands.options import job_argument, json_option, patience_option
from orchestrator.commands.surroundings import Surroundings


@click.command()
@job_argument
@json_option
@patience_option
@click.pass_obj
def wait(surroundings: Surroundings, job_id: str, *, as_json: bool, patience_s: float) -> int:
    """Wait for the end of a job: 0 if it succeeded, 1 if not."""
    from orchestrator.commands.jobs import staying

    with surroundings.connect() as remote:
        manner = staying.Manner(patience_s, as_json=as_json)
        return staying.wait(remote, job_id, manner, known=False)
