"""`orchestrator jobs hold` and `release`: keep jobs back that have not begun, and let them go."""

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from orchestrator.commands import output
from orchestrator.commands.options import Comment, JobId, json_option
from orchestrator.commands.surroundings import Surroundings
from orchestrator.protocol import limits

if TYPE_CHECKING:
    from orchestrator.client.answers import Answer

_ids = click.argument("job_ids", metavar="ID...", type=JobId(), nargs=-1, required=True)
_comment = click.option(
    "--comment", type=Comment(), help="Why, for those who look at the jobs later."
)


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
        return _ordered(lambda ids: remote.hold(ids, comment), job_ids, as_json=as_json)


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
        return _ordered(lambda ids: remote.release(ids, comment), job_ids, as_json=as_json)


def _ordered(
    order: Callable[[Sequence[str]], "Answer"], job_ids: Sequence[str], *, as_json: bool
) -> int:
    """Give as many orders as it takes, and say what became of each job; 1 if any was refused."""
    answers, refused = [], 0
    for first in range(0, len(job_ids), limits.IDS):
        answers.append(order(job_ids[first : first + limits.IDS]))
        refused += _told(answers[-1], in_words=not as_json)
    if as_json:
        output.document(answers[0].body if len(answers) == 1 else _together(answers))
    return 1 if refused else 0


def _told(answer: "Answer", *, in_words: bool) -> int:
    """Say what one order came to, at once: a later one may fail. Return how many were refused."""
    from orchestrator.commands.jobs import ending
    from orchestrator.protocol.views import HoldReply

    reply = answer.read(HoldReply)
    if in_words:
        for job in reply.items:
            output.say(f"{job.id} is {ending.short(job)}")
        for refusal in reply.refused:
            output.say(f"{refusal.id}: {refusal.detail}")
    return len(reply.refused)


def _together(answers: "Sequence[Answer]") -> dict[str, list[Any]]:
    """Return several answers as one document of the API's form, with the server's own words."""
    documents = [json.loads(answer.body) for answer in answers]
    return {
        name: [entry for document in documents for entry in document.get(name, [])]
        for name in ("items", "refused")
    }
