"""`orchestrator batches close`, `cancel` and `retry-failed`: what is done to a batch as a whole."""

from typing import TYPE_CHECKING

import click

from orchestrator.commands import output
from orchestrator.commands.batches.pieces import batch_argument, counted, short
from orchestrator.commands.options import Comment, json_option
from orchestrator.commands.ordering import ordered
from orchestrator.commands.surroundings import Surroundings

if TYPE_CHECKING:
    from orchestrator.client.answers import Answer


@click.command()
@batch_argument
@json_option
@click.pass_obj
def close(surroundings: Surroundings, batch_id: str, *, as_json: bool) -> int:
    """Let a batch take no more jobs, so that it can be done."""
    from orchestrator.commands.batches import desk

    return ordered(
        surroundings, lambda remote: desk.close(remote, batch_id), _words, as_json=as_json
    )


@click.command()
@batch_argument
@click.option("--comment", type=Comment(), help="Why, for those who look at the jobs later.")
@json_option
@click.pass_obj
def cancel(surroundings: Surroundings, batch_id: str, comment: str | None, *, as_json: bool) -> int:
    """End every job of a batch that is not over, and let it take no more."""
    from orchestrator.commands.batches import desk

    return ordered(
        surroundings,
        lambda remote: desk.cancel(remote, batch_id, comment),
        _words,
        as_json=as_json,
    )


@click.command("retry-failed")
@batch_argument
@json_option
@click.pass_obj
def retry_failed(surroundings: Surroundings, batch_id: str, *, as_json: bool) -> int:
    """Submit what failed, and was not tried again, as new jobs of the batch; print their ids."""
    from orchestrator.commands.batches import desk
    from orchestrator.protocol.batches import BatchReply

    job_ids: list[str] = []
    with surroundings.connect() as remote:
        while True:
            answer = desk.retry_failed(remote, batch_id)
            reply = answer.read(BatchReply)
            job_ids += reply.job_ids
            for job_id in () if as_json else reply.job_ids:  # at once: the next call may fail
                output.data(job_id)
            if not reply.more:
                break
    if as_json:
        output.document({**reply.model_dump(mode="json"), "job_ids": job_ids})
    else:
        output.say(f"{len(job_ids)} jobs of {batch_id} are tried again: {counted(reply)}")
    return 0


def _words(answer: "Answer") -> str:
    from orchestrator.protocol.batches import BatchView

    batch = answer.read(BatchView)
    return f"{batch.id} is {short(batch)}: {counted(batch)}"
