"""`orchestrator batches list`, `show` and `wait`: how far batches are."""

import math
import time
from typing import TYPE_CHECKING, Final

import click

from orchestrator.commands import output
from orchestrator.commands.batches.pieces import batch_argument, counted, short
from orchestrator.commands.options import Duration, json_option, patience_option
from orchestrator.commands.surroundings import Surroundings
from orchestrator.protocol import limits

if TYPE_CHECKING:
    from orchestrator.client.answers import Answer
    from orchestrator.commands.jobs.patience import Patience
    from orchestrator.commands.remote import Remote

HEADERS: Final = ("ID", "STATE", "AGE", "JOBS", "FAILED", "NAME", "COUNTS")
LOOK_S: Final = (0.2, 2.0)
"""Between two looks of whoever waits: the first pause, and the longest."""


@click.command("list")
@click.option(
    "--limit",
    type=click.IntRange(1, limits.PAGE_MAX),
    default=limits.PAGE_DEFAULT,
    show_default=True,
    help="How many at most.",
)
@click.option("--cursor", help="Go on behind an earlier list: its next_cursor.")
@json_option
@click.pass_obj
def list_all(surroundings: Surroundings, *, limit: int, cursor: str | None, as_json: bool) -> int:
    """List batches, the newest first."""
    from datetime import UTC, datetime

    from orchestrator.commands.batches import desk
    from orchestrator.commands.moments import ago
    from orchestrator.kernel.clock import SystemClock
    from orchestrator.protocol.batches import BatchView
    from orchestrator.protocol.views import Page

    with surroundings.connect() as remote:
        answer = desk.page(remote, cursor, limit)
    if as_json:
        output.document(answer.body)
        return 0
    page = answer.read(Page[BatchView])
    now = datetime.fromtimestamp(SystemClock().now(), UTC)
    rows = [
        (
            batch.id,
            short(batch),
            ago(batch.created_at, now=now),
            str(batch.jobs),
            str(batch.failed or ""),
            batch.name or "",
            counted(batch),
        )
        for batch in page.items
    ]
    if not rows:
        output.say("no batches yet")
        return 0
    output.table(HEADERS, rows, stretch=True)
    if page.next_cursor is not None:
        output.say(f"there are more: --cursor {page.next_cursor}")
    return 0


@click.command()
@batch_argument
@json_option
@click.pass_obj
def show(surroundings: Surroundings, batch_id: str, *, as_json: bool) -> int:
    """Show a batch, and those of its jobs that did not succeed."""
    from orchestrator.commands.batches import desk
    from orchestrator.commands.jobs import tables
    from orchestrator.commands.moments import moment
    from orchestrator.kernel.clock import SystemClock
    from orchestrator.protocol.batches import BatchView
    from orchestrator.protocol.views import JobView, Page

    with surroundings.connect() as remote:
        answer = _batch(remote, batch_id)
        if as_json:
            output.document(answer.body)
            return 0
        unsuccessful = desk.unsuccessful(remote, batch_id)
    batch = answer.read(BatchView)
    output.facts(
        [
            ("id", batch.id),
            ("name", batch.name or ""),
            ("state", short(batch)),
            ("jobs", f"{batch.jobs}: {counted(batch)}"),
            ("max fails", "" if batch.max_fails is None else str(batch.max_fails)),
            ("owner", batch.owner),
            ("created", moment(batch.created_at)),
            ("closed", moment(batch.closed_at)),
            ("cancelled", moment(batch.stopped_at)),
        ]
    )
    jobs = unsuccessful.read(Page[JobView]).items
    if jobs:
        output.table(
            tables.JOB_HEADERS, tables.job_rows(jobs, now=SystemClock().now()), stretch=True
        )
    if batch.repeatable:
        output.advise(f"try them again: orchestrator batches retry-failed {batch_id}")
    return 0


@click.command()
@batch_argument
@json_option
@click.option(
    "--timeout",
    "timeout_s",
    type=Duration(),
    metavar="DURATION",
    help="Wait so long at most; the jobs go on, and the exit code is 124.",
)
@patience_option
@click.pass_obj
def wait(
    surroundings: Surroundings,
    batch_id: str,
    *,
    as_json: bool,
    timeout_s: float | None,
    patience_s: float,
) -> int:
    """Wait until a batch is done: 0 if every job of it succeeded, in the end; 1 if not."""
    from orchestrator.commands.jobs import ending
    from orchestrator.commands.jobs.patience import Patience
    from orchestrator.protocol.batches import BatchView

    patience = Patience(batch_id, patience_s, verb="batches wait", thing="batch")
    until = math.inf if timeout_s is None else time.monotonic() + timeout_s
    pause_s, longest_s = LOOK_S
    with surroundings.connect() as remote:
        answer = _batch(remote, batch_id)
        while not answer.read(BatchView).done and time.monotonic() < until:
            time.sleep(min(pause_s, max(0.0, until - time.monotonic())))
            pause_s = min(2 * pause_s, longest_s)
            answer = _next_look(remote, batch_id, patience)
    batch = answer.read(BatchView)
    if as_json:
        output.document(answer.body)
    else:
        output.say(f"{batch.id} is {short(batch)}: {counted(batch)}")
    if not batch.done:
        return ending.TIMED_OUT
    return 0 if batch.succeeded else 1


def _batch(remote: "Remote", batch_id: str) -> "Answer":
    from orchestrator.commands.batches import desk
    from orchestrator.commands.remote import again

    return again(lambda: desk.one(remote, batch_id))


def _next_look(remote: "Remote", batch_id: str, patience: "Patience") -> "Answer":
    """Look again, over a restart of the server if need be."""
    from orchestrator.commands.batches import desk
    from orchestrator.kernel.errors import Unavailable

    while True:
        try:
            answer = desk.one(remote, batch_id)
        except Unavailable as error:
            patience.lost(error)
        else:
            patience.answered()
            return answer
