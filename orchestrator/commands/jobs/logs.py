"""`orchestrator jobs logs`: what a job wrote, until now or until its end."""

from typing import TypedDict, Unpack

import click

from orchestrator.commands.options import (
    job_argument,
    json_option,
    patience_option,
    raw_option,
)
from orchestrator.commands.surroundings import Surroundings


class Options(TypedDict):
    """What click hands over, by the names of the parameters."""

    job_id: str
    follow: bool
    attempt: int | None
    stream: str
    as_json: bool
    patience_s: float
    raw: bool


@click.command()
@job_argument
@click.option("-f", "--follow", is_flag=True, help="Stay until the end; return the job's code.")
@click.option("--attempt", type=click.IntRange(min=1), help="Which try (the last one).")
@click.option(
    "--stream",
    type=click.Choice(["stdout", "stderr", "both"]),
    default="both",
    show_default=True,
    help="One stream alone goes to standard output.",
)
@json_option
@patience_option
@raw_option
@click.pass_obj
def logs(surroundings: Surroundings, **options: Unpack[Options]) -> int:
    """Print what a job wrote, each stream to its own."""
    from orchestrator.commands.jobs import pieces, staying

    job_id, stream, attempt = options["job_id"], options["stream"], options["attempt"]
    show = pieces.show_for(stream, raw=options["raw"], as_json=options["as_json"])
    with surroundings.connect() as remote:
        if options["follow"]:
            manner = staying.Manner(options["patience_s"])
            return staying.follow_known(remote, job_id, manner, show, attempt=attempt)
        if options["as_json"]:
            pieces.print_document(remote, job_id, attempt, stream)
        else:
            pieces.print_until_now(remote, job_id, attempt, show)
    return 0
