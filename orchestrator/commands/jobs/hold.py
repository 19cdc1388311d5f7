"""`orchestrator jobs hold` and `release`: keep jobs back that have not begun, and let them go."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import click

from orchestrator.commands import output
from orchestrator.commands.jobs.bulk import Where, chosen, give, where_options
from orchestrator.commands.options import Comment, JobId, json_option
from orchestrator.commands.surroundings import Surroundings
from orchestrator.protocol import limits
from orchestrator.protocol.words import BulkAction

if TYPE_CHECKING:
    from orchestrator.client.answers import Answer


class Options(TypedDict):
    """What click hands over, by the names of the parameters."""

    job_ids: tuple[str, ...]
    comment: str | None
    q: str | None
    dry_run: bool
    yes: bool
    as_json: bool


_ids = click.argument("job_ids", metavar="ID...", type=JobId(), nargs=-1)
_comment = click.option(
    "--comment", type=Comment(), help="Why, for those who look at the jobs later."
)


@click.command()
@_ids
@_comment
@where_options
@json_option
@click.pass_obj
def hold(surroundings: Surroundings, **options: Unpack[Options]) -> int:
    """Keep jobs back that have not begun, until they are released."""
    if (where := _where(options)) is not None:
        said = {"comment": options["comment"]}
        return give(surroundings, BulkAction.HOLD, where, as_json=options["as_json"], **said)
    with surroundings.connect() as remote:
        order = partial(remote.hold, comment=options["comment"])
        return _ordered(order, options["job_ids"], as_json=options["as_json"])


@click.command()
@_ids
@_comment
@where_options
@json_option
@click.pass_obj
def release(surroundings: Surroundings, **options: Unpack[Options]) -> int:
    """Let held jobs go on, in the place that they had."""
    if (where := _where(options)) is not None:
        said = {"comment": options["comment"]}
        return give(surroundings, BulkAction.RELEASE, where, as_json=options["as_json"], **said)
    with surroundings.connect() as remote:
        order = partial(remote.release, comment=options["comment"])
        return _ordered(order, options["job_ids"], as_json=options["as_json"])


def _where(options: Options) -> Where | None:
    return chosen(options["job_ids"], options["q"], dry_run=options["dry_run"], yes=options["yes"])


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
