"""`orchestrator workers show`, `quarantine` and `release`: whether one worker is given jobs."""

from typing import TYPE_CHECKING, Final

import click

from orchestrator.commands import output
from orchestrator.commands.options import PlainName, Reason, json_option
from orchestrator.commands.surroundings import Surroundings
from orchestrator.protocol import limits

if TYPE_CHECKING:
    from orchestrator.client.answers import Answer
    from orchestrator.protocol.views import QuarantineView, WorkerView

_worker = click.argument("worker", metavar="WORKER", type=PlainName("worker", limits.NAME_CHARS))
_reason = click.option(
    "--reason", type=Reason(), required=True, help="Why, for everybody who looks at the worker."
)
HEADERS: Final = ("JOB", "TRY", "REASON", "WHEN", "ELSEWHERE")


@click.command()
@_worker
@json_option
@click.pass_obj
def show(surroundings: Surroundings, worker: str, *, as_json: bool) -> int:
    """Show a worker (its name or id), whether it is given jobs, and if not, why."""
    with surroundings.connect() as remote:
        return _shown(remote.worker(worker), as_json=as_json)


@click.command()
@_worker
@_reason
@json_option
@click.pass_obj
def quarantine(surroundings: Surroundings, worker: str, reason: str, *, as_json: bool) -> int:
    """Give a worker no more jobs until it is released, even if nobody else can do them."""
    with surroundings.connect() as remote:
        return _shown(remote.quarantine(worker, reason), as_json=as_json)


@click.command()
@_worker
@_reason
@json_option
@click.pass_obj
def release(surroundings: Surroundings, worker: str, reason: str, *, as_json: bool) -> int:
    """Give a worker jobs again, whoever kept it out, and forget what spoke against it."""
    with surroundings.connect() as remote:
        return _shown(remote.trust(worker, reason), as_json=as_json)


def _shown(answer: "Answer", *, as_json: bool) -> int:
    from orchestrator.protocol.views import WorkerView

    if as_json:
        output.document(answer.body)
        return 0
    worker = answer.read(WorkerView)
    output.facts(facts(worker))
    kept = worker.quarantine
    if kept is not None and kept.faults:
        output.data("")
        output.table(HEADERS, _rows(kept))
    return 0


def facts(worker: "WorkerView") -> list[tuple[str, str]]:
    """Return names and values of what is known of a worker; empty ones are to be skipped."""
    from orchestrator.commands.moments import moment
    from orchestrator.commands.workers import state

    kept = worker.quarantine
    known = [
        ("id", worker.id),
        ("name", worker.name),
        ("state", state(worker)),
        ("busy", f"{worker.busy}/{worker.slots}"),
        ("tags", ", ".join(worker.tags)),
        ("kinds", ", ".join(worker.kinds)),
        ("machine", f"{worker.hostname} ({worker.platform})"),
        ("version", worker.version or ""),
        ("seen", moment(worker.last_seen_at)),
    ]
    if kept is None:
        return known
    return [
        *known,
        ("quarantined", f"since {moment(kept.since)}" + (f" by {kept.by}" if kept.by else "")),
        ("why", kept.why),
        ("next", _next(kept)),
    ]


def _next(kept: "QuarantineView") -> str:
    from orchestrator.commands.moments import moment

    if kept.state == "forced":
        return "nothing, until somebody releases it (orchestrator workers release)"
    if kept.canary is not None:
        what = f"the end of its canary {kept.canary} decides"
    elif kept.until is not None:
        what = f"one job as a canary, from {moment(kept.until)} on"
    else:
        what = "the next job that fits is its canary"
    return f"{what}; until then it goes on with what nobody else could do" if kept.serves else what


def _rows(kept: "QuarantineView") -> list[tuple[str, ...]]:
    from orchestrator.commands.moments import moment

    return [
        (
            fault.job_id,
            str(fault.attempt),
            str(fault.reason),
            moment(fault.at),
            "succeeded" if fault.succeeded_elsewhere else "",
        )
        for fault in kept.faults
    ]
