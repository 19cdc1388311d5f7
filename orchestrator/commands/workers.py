"""`orchestrator workers`: who is there to run jobs, and who of them is given any."""

from typing import TYPE_CHECKING, Any, Final

import click

from orchestrator.commands import output
from orchestrator.commands.lazy import LazyGroup
from orchestrator.commands.options import json_option
from orchestrator.commands.surroundings import Surroundings

if TYPE_CHECKING:
    from orchestrator.commands.remote import Remote
    from orchestrator.protocol.views import WorkerView

HEADERS: Final = (
    *("NAME", "STATE", "BUSY", "TAGS", "KINDS", "MACHINE", "CPUS", "MEMORY", "SEEN", "ID"),
)


@click.group("workers", cls=LazyGroup)
def workers() -> None:
    """Look at the workers, keep one out, let it in again."""


workers.members = {
    "list": "orchestrator.commands.workers:list_workers",
    "show": "orchestrator.commands.trust:show",
    "quarantine": "orchestrator.commands.trust:quarantine",
    "release": "orchestrator.commands.trust:release",
}


@click.command("list")
@json_option
@click.pass_obj
def list_workers(surroundings: Surroundings, *, as_json: bool) -> int:
    """List the workers, and what each of them has."""
    with surroundings.connect() as remote:
        items = _collected(remote, as_json=as_json)
    if as_json:
        output.document({"items": items, "next_cursor": None})
    elif not items:
        output.say("no worker is enrolled yet")
        output.advise("start one here: orchestrator run --local")
    else:
        styles = ["" if worker.online else "dim" for worker in items]
        output.table(HEADERS, _rows(items), styles=styles)
    return 0


def _collected(remote: "Remote", *, as_json: bool) -> list[Any]:
    from orchestrator.protocol.views import Page, WorkerView

    items: list[Any] = []
    cursor = None
    while True:
        answer = remote.workers(cursor)
        page = answer.read(Page[Any]) if as_json else answer.read(Page[WorkerView])
        items += page.items
        cursor = page.next_cursor
        if cursor is None or not page.items:
            return items


def state(worker: "WorkerView") -> str:
    """Return how a worker stands, in a word or two."""
    kept = worker.quarantine
    if not worker.online:
        return "offline" if kept is None else "offline, quarantined"
    if kept is None:
        return "online"
    if kept.state == "half_open":
        return "on trial"
    return "suspect" if kept.serves else "quarantined"


def _rows(workers: "list[WorkerView]") -> list[tuple[str, ...]]:
    from datetime import UTC, datetime

    from orchestrator.commands.moments import ago
    from orchestrator.kernel.clock import SystemClock

    now = datetime.fromtimestamp(SystemClock().now(), UTC)
    return [
        (
            worker.name,
            state(worker),
            f"{worker.busy}/{worker.slots}",
            ", ".join(worker.tags),
            ", ".join(worker.kinds),
            f"{worker.hostname} ({worker.platform})",
            str(worker.cpu_count),
            f"{worker.memory_bytes / 2**30:.1f} GiB",
            ago(worker.last_seen_at, now=now),
            worker.id,
        )
        for worker in workers
    ]
