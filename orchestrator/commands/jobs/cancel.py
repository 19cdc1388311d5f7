"""`orchestrator jobs cancel`: ask for a job's end. Asking twice changes nothing."""

from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from orchestrator.commands import output
from orchestrator.commands.jobs.bulk import chosen, give, where_options
from orchestrator.commands.options import Comment, JobId, json_option, patience_option
from orchestrator.commands.surroundings import Surroundings
from orchestrator.protocol.words import BulkAction

if TYPE_CHECKING:
    from orchestrator.client.answers import Answer
    from orchestrator.commands.remote import Remote


class Options(TypedDict):
    """What click hands over, by the names of the parameters."""

    job_id: str | None
    q: str | None
    dry_run: bool
    yes: bool
    comment: str | None
    force: bool
    wait: bool
    as_json: bool
    patience_s: float


@click.command()
@click.argument("job_id", metavar="[ID]", type=JobId(), required=False)
@where_options
@click.option("--comment", type=Comment(), help="Why, for those who look at the job later.")
@click.option("--force", is_flag=True, help="Do not wait until its processes are seen to be gone.")
@click.option("--wait", is_flag=True, help="Wait until it is over, and say what was left behind.")
@json_option
@patience_option
@click.pass_obj
def cancel(surroundings: Surroundings, **options: Unpack[Options]) -> int:
    """Cancel a job; a running one ends once its whole process tree is gone.

    With --where, every job that is meant: they are counted, and somebody is asked, first.
    """
    from orchestrator.commands.jobs import ending
    from orchestrator.commands.jobs.staying import Manner, ended
    from orchestrator.core.job_lifecycle import TERMINAL
    from orchestrator.protocol.views import JobView

    job_id, where = (
        options["job_id"],
        chosen(options["job_id"], options["q"], dry_run=options["dry_run"], yes=options["yes"]),
    )
    if where is not None:
        if options["wait"]:
            raise click.UsageError("--wait is for one job: --where returns when the order is done")
        said = {"comment": options["comment"], "force": options["force"] or None}
        return give(surroundings, BulkAction.CANCEL, where, as_json=options["as_json"], **said)
    with surroundings.connect() as remote:
        answer = _ordered(remote, job_id or "", options)
        if options["wait"]:
            manner = Manner(options["patience_s"])
            answer = ended(remote, job_id or "", manner, known=True)
    if options["as_json"]:
        output.document(answer.body)
        return 0
    job = answer.read(JobView)
    if job.state not in TERMINAL:
        output.say(f"{job.id} is {ending.short(job)}")
        output.advise(
            f"wait for its end: orchestrator jobs wait {job.id}",
            f"or do not wait: orchestrator jobs cancel --force {job.id}",
        )
        return 0
    output.say(ending.words(job))
    if job.confirmed is False:
        output.advise("nobody has seen its processes end; its worker is told to end them")
    return 0


def _ordered(remote: "Remote", job_id: str, options: Options) -> "Answer":
    """Give the order, over a restart of the server if need be: it is worthless if it is lost."""
    from orchestrator.commands.jobs.patience import Patience
    from orchestrator.kernel.errors import Unavailable

    patience = Patience(job_id, options["patience_s"], verb="jobs cancel", unsaid=True)
    while True:
        try:
            return remote.cancel(job_id, options["comment"], force=options["force"])
        except Unavailable as error:
            patience.lost(error)
