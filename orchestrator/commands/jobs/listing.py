"""`orchestrator jobs list`: the newest jobs, or those that somebody looks for."""

from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import click

from orchestrator.commands import output
from orchestrator.commands.options import json_option
from orchestrator.commands.surroundings import Surroundings
from orchestrator.protocol import limits
from orchestrator.protocol.words import JobState

if TYPE_CHECKING:
    from orchestrator.commands.remote import Remote


class Options(TypedDict):
    """What click hands over, by the names of the parameters."""

    states: tuple[str, ...]
    kind: str | None
    name: str | None
    query: str | None
    oldest_first: bool
    limit: int
    cursor: str | None
    fingerprint: str | None
    dead: bool
    as_json: bool


@click.command("list")
@click.option(
    "--state",
    "states",
    type=click.Choice([state.value for state in JobState]),
    multiple=True,
    metavar="STATE",
    help="Only jobs in this state; several may be given.",
)
@click.option("--kind", help="Only jobs of this kind.")
@click.option("--name", help="Only jobs of this name.")
@click.option(
    "-q",
    "query",
    metavar="FILTER",
    help="Only these: 'state:failed worker:atlas label:team=web created:<2h \"no route\"'.",
)
@click.option("--oldest-first", is_flag=True, help="The other way round.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=limits.PAGE_DEFAULT,
    show_default=True,
    help="How many at most.",
)
@click.option("--cursor", help="Go on behind an earlier list: its next_cursor.")
@click.option("--fingerprint", help="Only failed jobs of one group of --dead.")
@click.option("--dead", is_flag=True, help="Failed jobs, told apart by what they have in common.")
@json_option
@click.pass_obj
def list_jobs(surroundings: Surroundings, **options: Unpack[Options]) -> int:
    """List jobs, the newest first."""
    if options["dead"]:
        return _list_dead(surroundings, options)
    with surroundings.connect() as remote:
        items, following = _collected(remote, options)
    if options["as_json"]:
        output.document({"items": items, "next_cursor": following})
        return 0
    if not items:
        output.say("no such jobs" if _narrowed(options) else "no jobs yet")
        return 0
    from orchestrator.commands.jobs import tables
    from orchestrator.kernel.clock import SystemClock

    rows = tables.job_rows(items, now=SystemClock().now())
    styles = [tables.style(job.state) for job in items]
    output.table(tables.JOB_HEADERS, rows, styles=styles, stretch=True)
    if following is not None:
        output.say(f"there are more: --limit {2 * options['limit']}, or --cursor {following}")
    return 0


def _list_dead(surroundings: Surroundings, options: Options) -> int:
    """Show the groups of failed jobs; filters are for single jobs."""
    if _narrowed(options):
        raise click.UsageError("--dead counts all failed jobs: it takes no filter but --limit")
    with surroundings.connect() as remote:
        answer = remote.dead(min(options["limit"], limits.PAGE_MAX))
    if options["as_json"]:
        output.document(answer.body)
        return 0
    from datetime import UTC, datetime

    from orchestrator.commands.jobs import tables
    from orchestrator.kernel.clock import SystemClock
    from orchestrator.protocol.views import DeadLetters, Page

    groups = answer.read(Page[DeadLetters]).items
    if not groups:
        output.say("no job has failed")
        return 0
    now = datetime.fromtimestamp(SystemClock().now(), UTC)
    output.table(tables.DEAD_HEADERS, tables.dead_rows(groups, now=now), stretch=True)
    output.advise(
        "all of a group: orchestrator jobs list --fingerprint GROUP",
        "look at one: orchestrator jobs show ID",
        "repeat it: orchestrator jobs retry ID",
    )
    return 0


def _collected(remote: "Remote", options: Options) -> tuple[list[Any], str | None]:
    """Return the items of as many pages as it takes: as the API wrote them, or as models."""
    from orchestrator.protocol.views import JobView, Page

    items: list[Any] = []
    cursor = options["cursor"]
    while True:
        answer = remote.jobs(
            {
                "state": list(options["states"]) or None,
                "kind": options["kind"],
                "name": options["name"],
                "fingerprint": options["fingerprint"],
                "q": options["query"],
                "sort": "created_at" if options["oldest_first"] else None,
                "cursor": cursor,
                "limit": min(options["limit"] - len(items), limits.PAGE_MAX),
            }
        )
        page = answer.read(Page[Any]) if options["as_json"] else answer.read(Page[JobView])
        items += page.items
        cursor = page.next_cursor
        if cursor is None or len(items) >= options["limit"]:
            return items, cursor


def _narrowed(options: Options) -> bool:
    filters = ("states", "kind", "name", "fingerprint", "query", "oldest_first", "cursor")
    return any(options[name] for name in filters)  # type: ignore[literal-required]  # they are
