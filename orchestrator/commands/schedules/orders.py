"""`orchestrator schedules pause`, `resume`, `run` and `delete`: one word to one schedule."""

import click

from orchestrator.commands import output
from orchestrator.commands.options import json_option, schedule_argument
from orchestrator.commands.surroundings import Surroundings


@click.command()
@schedule_argument
@json_option
@click.pass_obj
def pause(surroundings: Surroundings, schedule: str, *, as_json: bool) -> int:
    """Let nothing of it fire until it is resumed."""
    from orchestrator.commands.schedules import desk

    with surroundings.connect() as remote:
        answer = desk.pause(remote, schedule)
    if as_json:
        output.document(answer.body)
    else:
        output.say(f"{schedule} is paused")
        output.advise(f"let it go on: orchestrator schedules resume {schedule}")
    return 0


@click.command()
@schedule_argument
@json_option
@click.pass_obj
def resume(surroundings: Surroundings, schedule: str, *, as_json: bool) -> int:
    """Let it go on from now; what came meanwhile is told as skipped."""
    from orchestrator.commands.schedules import desk, tables
    from orchestrator.protocol.schedules import ScheduleView

    with surroundings.connect() as remote:
        answer = desk.resume(remote, schedule)
    if as_json:
        output.document(answer.body)
    else:
        output.say(f"{schedule} goes on: {tables.next_fire(answer.read(ScheduleView))}")
    return 0


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

    with surroundings.connect() as remote:
        desk.delete(remote, schedule)
    output.say(f"{schedule} is deleted")
    return 0
