"""Orders for all jobs that a filter means: counted, asked about, given, and waited for."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from orchestrator.commands import output
from orchestrator.commands.checked import checked
from orchestrator.commands.surroundings import Surroundings
from orchestrator.protocol.words import BulkAction

if TYPE_CHECKING:
    from orchestrator.protocol.bulk import BulkView

F = TypeVar("F", bound=Callable[..., Any])

_LOOK_S: Final = 0.3
_DONE: Final = {
    BulkAction.CANCEL: "cancelled",
    BulkAction.HOLD: "held",
    BulkAction.RELEASE: "let go",
    BulkAction.RETRY: "submitted again",
    BulkAction.PRIORITY: "changed",
    BulkAction.QUEUE: "moved",
    BulkAction.DELETE: "deleted",
}


@dataclass(frozen=True, slots=True)
class Where:
    """Which jobs are meant instead of ids, and how it is gone about."""

    q: str
    dry_run: bool
    yes: bool


def where_options(command: F) -> F:
    """Let a command take a filter in place of ids."""
    for option in (
        click.option("--yes", is_flag=True, help="With --where: do not ask."),
        click.option("--dry-run", is_flag=True, help="With --where: only count them."),
        click.option(
            "--where",
            "q",
            metavar="FILTER",
            help="All jobs that are meant, instead of ids: 'state:failed created:>7d'.",
        ),
    ):
        command = option(command)
    return command


def chosen(
    ids: tuple[str, ...] | str | None, q: str | None, *, dry_run: bool, yes: bool
) -> Where | None:
    """Return the filter that was given instead of ids; exactly one of the two must be."""
    if q is None:
        if dry_run or yes:
            raise click.UsageError("--dry-run and --yes go with --where")
        if not ids:
            raise click.UsageError("say which jobs: their ids, or --where FILTER")
        return None
    if ids:
        raise click.UsageError("give either ids or --where, not both")
    return Where(q, dry_run, yes)


def give(
    surroundings: Surroundings,
    action: BulkAction,
    where: Where,
    *,
    as_json: bool = False,
    **said: Any,  # noqa: ANN401  # what belongs to the action
) -> int:
    """Count, ask, give the order, and return when it is done: 1 if anything failed."""
    from orchestrator.protocol.bulk import BulkPreview, BulkRequest, BulkView

    told = {name: value for name, value in said.items() if value is not None}
    wanted = {"q": where.q, "action": action, **told}
    asked = checked(BulkRequest, {**wanted, "dry_run": True}, option=_option_of)
    with surroundings.connect() as remote:
        counted = remote.bulk(asked)
        preview = counted.read(BulkPreview)
        if where.dry_run:
            if as_json:
                output.document(counted.body)
            output.say(f"{_jobs(preview.count)} would be {_DONE[action]}; nothing was changed")
            return 0
        if not preview.count:
            if as_json:
                output.document(counted.body)
            output.say(f"no job is there that could be {_DONE[action]}")
            return 0
        if not where.yes and not _agreed(f"{_jobs(preview.count)} will be {_DONE[action]}. Go on?"):
            output.say("nothing was changed")
            return 1
        answer = remote.bulk(
            checked(BulkRequest, {**wanted, "token": preview.token}, option=_option_of)
        )
        view = answer.read(BulkView)
        while view.finished_at is None:
            time.sleep(_LOOK_S)
            answer = remote.bulk_order(view.id)
            view = answer.read(BulkView)
    if as_json:
        output.document(answer.body)
    _tell(view)
    return 1 if view.refused or view.failure is not None else 0


def _tell(view: "BulkView") -> None:
    """Say what came of an order."""
    output.say(f"{_jobs(view.done)} {'is' if view.done == 1 else 'are'} {_DONE[view.action]}")
    if view.failure is not None:
        output.say(f"the order could not go on: {view.failure}")
    if view.refused:
        output.say(f"{_jobs(view.refused)} refused it")
    if view.changed:
        more = "were no longer meant" if view.changed > 0 else "more had come to be meant"
        output.say(f"{abs(view.changed)} {more} when it was their turn")


def _option_of(field: str) -> str:
    return "--where" if field == "q" else f"--{field}"


def _jobs(count: int) -> str:
    return "1 job" if count == 1 else f"{count:,} jobs"


def _agreed(question: str) -> bool:
    if sys.stdin is None or not sys.stdin.isatty():
        raise click.UsageError(f"{question} There is nobody to ask: say --yes, or --dry-run")
    return click.confirm(question, err=True)
