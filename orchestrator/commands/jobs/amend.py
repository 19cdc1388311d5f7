"""`orchestrator jobs set`: change jobs that have not begun."""

from datetime import datetime
from typing import Any, TypedDict, Unpack

import click

from orchestrator.commands import output
from orchestrator.commands.checked import checked
from orchestrator.commands.jobs.bulk import chosen, give, where_options
from orchestrator.commands.options import Assignment, Comment, JobId, When, json_option
from orchestrator.commands.surroundings import Surroundings
from orchestrator.protocol import limits
from orchestrator.protocol.words import BulkAction


class Options(TypedDict):
    """What click hands over, by the names of the parameters."""

    job_ids: tuple[str, ...]
    q: str | None
    dry_run: bool
    yes: bool
    priority: int | None
    queue: str | None
    run_at: tuple[datetime | None, ...]
    labels: tuple[tuple[str, str | None], ...]
    comment: str | None
    as_json: bool


@click.command("set")
@click.argument("job_ids", metavar="ID...", type=JobId(), nargs=-1)
@where_options
@click.option(
    "--priority",
    type=click.IntRange(limits.PRIORITY_MIN, limits.PRIORITY_MAX),
    help="How urgent: each point is worth a minute of waiting.",
)
@click.option("--queue", metavar="NAME", help="The queue in which it waits from now on.")
@click.option(
    "--run-at",
    type=When(),
    multiple=True,
    metavar="WHEN",
    help="When it may begin: now, 90m, 2026-01-31T09:00:00Z.",
)
@click.option(
    "--label",
    "labels",
    type=Assignment(bare=True),
    multiple=True,
    metavar="KEY[=VALUE]",
    help="Label it; a bare KEY takes that label away.",
)
@click.option("--comment", type=Comment(), help="Why, for those who look at the jobs later.")
@json_option
@click.pass_obj
def amend(surroundings: Surroundings, **options: Unpack[Options]) -> int:
    """Change jobs that have not begun; what has begun is refused, one by one."""
    from orchestrator.commands.jobs import ending
    from orchestrator.kernel.errors import Refused
    from orchestrator.protocol.jobs import AmendRequest
    from orchestrator.protocol.views import JobDetail

    wanted = _wanted(options)
    if not wanted:
        raise click.UsageError(
            "say what is to be different: --priority, --queue, --run-at or --label"
        )
    where = chosen(options["job_ids"], options["q"], dry_run=options["dry_run"], yes=options["yes"])
    if where is not None:
        if set(wanted) not in ({"priority"}, {"queue"}):
            raise click.UsageError("--where changes the --priority or the --queue, one at a time")
        (name,) = wanted
        said = {**wanted, "comment": options["comment"]}
        return give(surroundings, BulkAction(name), where, as_json=options["as_json"], **said)
    if options["comment"] is not None:
        wanted["comment"] = options["comment"]
    request, refused = checked(AmendRequest, wanted, option=_option_of), 0
    with surroundings.connect() as remote:
        for job_id in options["job_ids"]:
            try:
                answer = remote.amend(job_id, request)
            except Refused as error:
                if len(options["job_ids"]) == 1:
                    raise
                output.say(f"{job_id}: {error.message}")
                refused += 1
                continue
            if options["as_json"]:
                output.line(answer.body)
                continue
            job = answer.read(JobDetail)
            output.say(f"{job.id} is {ending.short(job)}, and changed")
    return 1 if refused else 0


def _option_of(field: str) -> str:
    name, _, _ = field.partition(".")
    return {"labels": "--label"}.get(name, f"--{name.replace('_', '-')}")


def _wanted(options: Options) -> dict[str, Any]:
    wanted: dict[str, Any] = {}
    if options["priority"] is not None:
        wanted["priority"] = options["priority"]
    if options["queue"] is not None:
        wanted["queue"] = options["queue"]
    if options["run_at"]:
        wanted["run_at"] = options["run_at"][-1]
    if options["labels"]:
        wanted["labels"] = dict(options["labels"])
    return wanted
