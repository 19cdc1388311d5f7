"""`orchestrator jobs hold` and `release`: keep jobs back that have not begun, and let them go."""

from typing import TYPE_CHECKING

import click

from orchestrator.commands import output
from orchestrator.commands.options import JobId, json_option
from orchestrator.commands.surroundings import Surroundings

if TYPE_CHECKING:
    from orchestrator.client.answers import Answer

_ids = click.argument("job_ids", metavar="ID...", type=JobId(), nargs=-1, required=True)
_comment = click.option("--comment", help="Why, for those who look at the jobs later.")


@click.command()
@_ids
@_comment
@json_option
@click.pass_obj
def hold(
    surroundings: Surroundings, job_ids: tuple[str, ...], comment: str | None, *, as_json: bool
) -> int:
    """Keep jobs back that have not begun, until they are released."""
    with surroundings.connect() as remote:
        return _told(remote.hold(job_ids, comment), as_json=as_json)


@click.command()
@_ids
@_comment
@json_option
@click.pass_obj
def release(
    surroundings: Surroundings, job_ids: tuple[str, ...], comment: str | None, *, as_json: bool
) -> int:
    """Let held jobs go on, in the place that they had."""
    with surroundings.connect() as remote:
        return _told(remote.release(job_ids, comment), as_json=as_json)


def _told(answer: "Answer", *, as_json: bool) -> int:
    """Say what became of each; 1 if anything was refused."""
    from orchestrator.commands.jobs import ending
    from orchestrator.protocol.views import HoldReply

    reply = answer.read(HoldReply)
    if as_json:
        output.document(answer.body)
    else:
        for job in reply.items:
            output.say(f"{job.id} is {ending.short(job)}")
        for refusal in reply.refused:
            output.say(f"{refusal.id}: {refusal.detail}")
    return 1 if reply.refused else 0
