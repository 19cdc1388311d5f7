"""`orchestrator schedules list`, `show`, `preview` and `history`: reading about schedules."""

from typing import TYPE_CHECKING, Any

import click

from orchestrator.commands import output
from orchestrator.commands.options import json_option, schedule_argument
from orchestrator.commands.surroundings import Surroundings
from orchestrator.protocol import limits

if TYPE_CHECKING:
    from orchestrator.client.answers import Answer


@click.command("list")
@json_option
@click.pass_obj
def list_schedules(surroundings: Surroundings, *, as_json: bool) -> int:
    """List the schedules by name: when each fires, and what came of the last time."""
    from orchestrator.commands.schedules import desk, tables
    from orchestrator.protocol.schedules import ScheduleView
    from orchestrator.protocol.views import Page

    items: list[Any] = []
    cursor = None
    with surroundings.connect() as remote:
        while True:
            answer = desk.page(remote, cursor)
            page = answer.read(Page[Any]) if as_json else answer.read(Page[ScheduleView])
            items += page.items
            cursor = page.next_cursor
            if cursor is None or not page.items:
                break
    if as_json:
        output.document({"items": items, "next_cursor": None})
    elif not items:
        output.say("there is no schedule yet")
        output.advise("orchestrator schedules add nightly --cron '30 2 * * *' -- make backup")
    else:
        styles = ["" if one.state == "active" else "dim" for one in items]
        output.table(tables.HEADERS, tables.rows(items), styles=styles)
    return 0


@click.command()
@schedule_argument
@json_option
@click.pass_obj
def show(surroundings: Surroundings, schedule: str, *, as_json: bool) -> int:
    """Show a schedule: when it fires, what it submits, and what came of the last time."""
    from orchestrator.commands.schedules import desk, tables
    from orchestrator.protocol.schedules import ScheduleView

    with surroundings.connect() as remote:
        answer = desk.one(remote, schedule)
    if as_json:
        output.document(answer.body)
    else:
        output.facts(tables.facts(answer.read(ScheduleView)))
    return 0


@click.command()
@schedule_argument
@click.option(
    "--count",
    type=click.IntRange(1, limits.PAGE_MAX),
    default=limits.PREVIEWED,
    show_default=True,
    help="How many fires.",
)
@json_option
@click.pass_obj
def preview(surroundings: Surroundings, schedule: str, count: int, *, as_json: bool) -> int:
    """Show its next fires, in UTC and by the clocks of its zone."""
    from orchestrator.commands.schedules import desk

    with surroundings.connect() as remote:
        answer = desk.preview(remote, schedule, count)
    print_preview(answer, as_json=as_json)
    return 0


def print_preview(answer: "Answer", *, as_json: bool) -> None:
    """Show what a schedule would do."""
    from orchestrator.commands.schedules import tables
    from orchestrator.protocol.schedules import SchedulePreview

    if as_json:
        output.document(answer.body)
        return
    found = answer.read(SchedulePreview)
    output.say(f"it fires {found.words}")
    output.table(tables.COMING_HEADERS, tables.coming_rows(found.items))


@click.command()
@schedule_argument
@click.option(
    "--limit",
    type=click.IntRange(1, limits.PAGE_MAX),
    default=limits.PAGE_DEFAULT,
    show_default=True,
    help="How many lines at most.",
)
@click.option("--cursor", help="Go on behind an earlier page: its next_cursor.")
@json_option
@click.pass_obj
def history(
    surroundings: Surroundings, schedule: str, limit: int, cursor: str | None, *, as_json: bool
) -> int:
    """Show what became of each of its moments, the newest first."""
    from orchestrator.commands.schedules import desk, tables
    from orchestrator.protocol.schedules import FireView
    from orchestrator.protocol.views import Page

    with surroundings.connect() as remote:
        answer = desk.history(remote, schedule, cursor, limit)
    if as_json:
        output.document(answer.body)
        return 0
    page = answer.read(Page[FireView])
    if not page.items:
        output.say(f"{schedule} has had no moment yet")
        return 0
    output.table(tables.FIRE_HEADERS, tables.fire_rows(page.items))
    if page.next_cursor is not None:
        output.say(f"there are more: --cursor {page.next_cursor}")
    return 0
