"""`orchestrator queues set`, `pause`, `resume` and `delete`: one word to one queue."""

from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import click

from orchestrator.commands import output
from orchestrator.commands.checked import checked
from orchestrator.commands.options import Duration, Reason, json_option, queue_argument
from orchestrator.commands.ordering import deleted, ordered
from orchestrator.commands.surroundings import Surroundings
from orchestrator.protocol import limits

if TYPE_CHECKING:
    from orchestrator.protocol.queues import QueueSettings


class Options(TypedDict):
    """What click hands over, by the names of the parameters."""

    weight: int | None
    max_running: int | None
    no_max_running: bool
    priority: int | None
    timeout_s: float | None
    retries: int | None
    as_json: bool


@click.command("set")
@queue_argument
@click.option(
    "--weight",
    type=click.IntRange(1, limits.QUEUE_WEIGHT_MAX),
    help="How many of its jobs start for each one of a queue of weight 1.",
)
@click.option(
    "--max-running",
    type=click.IntRange(0, limits.RUNNING_MAX),
    help="How many of its jobs may run at the same time.",
)
@click.option("--no-max-running", is_flag=True, help="Let as many run as there are slots.")
@click.option(
    "--priority",
    type=click.IntRange(limits.PRIORITY_MIN, limits.PRIORITY_MAX),
    help="Of jobs that do not say theirs.",
)
@click.option(
    "--timeout", "timeout_s", type=Duration(), help="The longest run of jobs that do not say it."
)
@click.option(
    "--retries",
    type=click.IntRange(0, limits.ATTEMPTS_MAX - 1),
    help="How often jobs are tried again that do not say it.",
)
@json_option
@click.pass_obj
def set_queue(surroundings: Surroundings, queue: str, **options: Unpack[Options]) -> int:
    """Change what is named of a queue, or make it; what is not named stays as it is."""
    from orchestrator.commands.queues import desk, tables
    from orchestrator.protocol.views import QueueView

    settings = _settings(options)
    with surroundings.connect() as remote:
        answer = desk.change(remote, queue, settings)
    if options["as_json"]:
        output.document(answer.body)
    else:
        output.facts(tables.facts(answer.read(QueueView)))
    return 0


def _settings(options: Options) -> "QueueSettings":
    """Return what was named of the queue, and nothing else."""
    from orchestrator.protocol.queues import QueueSettings

    if options["no_max_running"] and options["max_running"] is not None:
        raise click.UsageError("--max-running and --no-max-running exclude each other")
    said: dict[str, Any] = {"weight": options["weight"], "max_running": options["max_running"]}
    given: dict[str, Any] = {"priority": options["priority"], "timeout_s": options["timeout_s"]}
    if options["retries"] is not None:
        given["retry"] = {"max_attempts": options["retries"] + 1}
    given = {name: value for name, value in given.items() if value is not None}
    said["defaults"] = given or None
    fields = {name: value for name, value in said.items() if value is not None}
    if options["no_max_running"]:
        fields["max_running"] = None
    return checked(QueueSettings, fields, option=_option_of)


def _option_of(field: str) -> str:
    return "--timeout" if field == "defaults.timeout_s" else f"--{field.replace('_', '-')}"


@click.command()
@queue_argument
@click.option("--reason", type=Reason(), help="For the people whose jobs wait.")
@json_option
@click.pass_obj
def pause(surroundings: Surroundings, queue: str, *, reason: str | None, as_json: bool) -> int:
    """Start nothing more of it until it is resumed; what runs goes on."""
    from orchestrator.commands.queues import desk

    return ordered(
        surroundings,
        lambda remote: desk.pause(remote, queue, reason),
        lambda _: f"{queue} is paused",
        as_json=as_json,
        undo=f"orchestrator queues resume {queue}",
    )


@click.command()
@queue_argument
@json_option
@click.pass_obj
def resume(surroundings: Surroundings, queue: str, *, as_json: bool) -> int:
    """Let it go on."""
    from orchestrator.commands.queues import desk

    return ordered(
        surroundings,
        lambda remote: desk.resume(remote, queue),
        lambda _: f"{queue} goes on",
        as_json=as_json,
    )


@click.command()
@queue_argument
@click.pass_obj
def delete(surroundings: Surroundings, queue: str) -> int:
    """Forget a queue in which no job is that is not over."""
    from orchestrator.commands.queues import desk

    return deleted(surroundings, lambda remote: desk.delete(remote, queue), queue)
