"""`orchestrator schedules pause`, `resume`, `run` and `delete`: one word to one schedule."""

import click

from orchestrator.commands import output
from orchestrator.commands.options import json_option, schedule_argument
from orchestrator.commands.ordering import deleted, ordered
from orchestrator.commands.surroundings import Surroundings


@click.command()
@schedule_argument
@json_option
@click.pass_obj
def pause(surroundings: Surroundings, schedule: str, *, as_json: bool) -> int:
    """Let nothing of it fire until it is resumed."""
    from orchestrator.commands.schedules import desk

    return ordered(
        surroundings,
        lambda remote: desk.pause(remote, schedule),
        lambda _: f"{schedule} is paused",
        as_json=as_json,
        undo=f"orchestrator schedules resume {schedule}",
    )


@click.command()
@schedule_argument
@json_option
@click.pass_obj
def resume(surroundings: Surroundings, schedule: str, *, as_json: bool) -> int:
    """Let it go on from now; what came meanwhile is told as skipped."""
    from orchestrator.commands.schedules import desk, tables
    from orchestrator.protocol.schedules import ScheduleView

    return ordered(
        surroundings,
        lambda remote: desk.resume(remote, schedule),
        lambda answer: f"{schedule} goes on: {tables.next_fire(answer.read(ScheduleView))}",
        as_json=as_json,
    )


@click.command()
@schedule_argument
@json_option
@click.pass_obj
def run(surroundings: Surroundings, schedule: str, *, as_json: bool) -> int:
    """Submit its job now, beside its own moments, and print the job's id."""
    from orchestrator.commands.jobs import ending, patience
    from orchestrator.commands.schedules import desk
    from orchestrator.protocol.views import JobView

    with surroundings.connect() as remote:
        answer = desk.run(remote, schedule)
    if as_json:
        output.document(answer.body)
        return 0
    job = answer.read(JobView)
    output.data(job.id)
    output.say(f"{job.id} is {ending.short(job)}")
    output.advise(*patience.next_steps(job.id))
    return 0


@click.command()
@schedule_argument
@click.pass_obj
def delete(surroundings: Surroundings, schedule: str) -> int:
    """Forget a schedule and its history; its jobs stay."""
    from orchestrator.commands.schedules import desk

    return deleted(surroundings, lambda remote: desk.delete(remote, schedule), schedule)
