"""`orchestrator jobs wait`: nothing but the end of a job."""

import click

from orchestrator.commands.options import Duration, job_argument, json_option, patience_option
from orchestrator.commands.surroundings import Surroundings


@click.command()
@job_argument
@json_option
@patience_option
@click.option(
    "--timeout",
    "timeout_s",
    type=Duration(),
    metavar="DURATION",
    help="Wait so long at most; the job goes on, and the exit code is 124.",
)
@click.pass_obj
def wait(
    surroundings: Surroundings,
    job_id: str,
    *,
    as_json: bool,
    patience_s: float,
    timeout_s: float | None,
) -> int:
    """Wait for the end of a job: 0 if it succeeded, 1 if not."""
    from orchestrator.commands.jobs import staying

    with surroundings.connect() as remote:
        manner = staying.Manner(patience_s, as_json=as_json, timeout_s=timeout_s)
        return staying.wait(remote, job_id, manner, known=False)
