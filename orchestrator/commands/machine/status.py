"""`orchestrator status`: everything that the orchestrator of this machine keeps alive."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from orchestrator.commands import output
from orchestrator.commands.machine.finding import find, state_dir_option
from orchestrator.commands.moments import ago, moment, rough
from orchestrator.commands.options import json_option
from orchestrator.kernel.clock import SystemClock

if TYPE_CHECKING:
    from orchestrator.client.control import Control
    from orchestrator.protocol.machine import (
        ConfigStatus,
        LimitsStatus,
        MachineStatus,
        MetricsStatus,
        ParkedWorker,
        WorkerStatus,
    )

DEGRADED: Final = 3
HEADERS: Final = ("WORKER", "STATE", "FOR", "JOBS", "WHY", "NEXT")
STYLES: Final = {
    "ready": "green",
    "busy": "cyan",
    "paused": "yellow",
    "draining": "yellow",
    "drained": "yellow",
    "disabled": "dim",
    "connecting": "yellow",
    "starting": "yellow",
}
"""Whatever is not here is trouble."""


@click.command()
@state_dir_option
@json_option
def status(state_dir: Path | None, *, as_json: bool) -> int:
    """Show what runs on this machine: 3 if anything is not as it should be."""
    control = find(state_dir)
    answer = control.get("/v1/status")
    if as_json:
        output.document(answer.body)
    else:
        from orchestrator.protocol.machine import MachineStatus

        show(answer.read(MachineStatus))
    return 0 if _is_well(control) else DEGRADED


def _is_well(control: "Control") -> bool:
    from orchestrator.kernel.errors import Unavailable

    try:
        control.get("/v1/health/ready")
    except Unavailable:
        return False
    return True


def show(told: "MachineStatus") -> None:
    """Write a machine's status for a person."""
    now = datetime.fromtimestamp(SystemClock().now(), UTC)
    output.facts(facts(told, now=now))
    rows = [row(worker, now=now) for worker in told.workers]
    styles = [STYLES.get(worker.state, "red") for worker in told.workers]
    known = {worker.name for worker in told.workers}
    for parked in told.config.parked:
        if parked.name not in known:
            rows.append((parked.name, "config_error", "", "", _first(parked), "waits until mended"))
            styles.append("red")
    if rows:
        output.data("")
        output.table(HEADERS, rows, styles=styles)


def _first(parked: "ParkedWorker") -> str:
    """Return the first thing that is wrong with an entry, and where."""
    problem = next(iter(parked.problems), {})
    return f"{problem.get('place', parked.place)}: {problem.get('message', 'cannot be run')}"


def facts(told: "MachineStatus", *, now: datetime) -> list[tuple[str, str]]:
    """Return names and values of what is known of the machine as a whole."""
    up = ago(told.started_at, now=now)
    server = told.server
    return [
        ("machine", f"{told.machine or 'not configured'} (pid {told.pid}, up {up})"),
        ("version", told.version),
        ("phase", "" if told.phase == "running" else told.phase),
        ("config", _applied(told.config)),
        ("BROKEN", "" if told.config.banner is None else told.config.banner.message),
        ("server", "" if server is None else f"{server.state} {server.url or ''}".strip()),
        ("", "" if server is None or server.problem is None else f"NOT CHANGED: {server.problem}"),
        ("metrics", _metrics(told.metrics)),
        ("jobs", f"{told.running_count} running, at most {told.max_jobs}"),
        ("limits", limits(told.limits)),
        ("folder", told.state_dir),
    ]


def _metrics(metrics: "MetricsStatus | None") -> str:
    if metrics is None:
        return ""
    return metrics.url or f"not told at {metrics.listen}: {metrics.problem or 'not yet'}"


def limits(told: "LimitsStatus") -> str:
    """Return who holds jobs to their limits on this machine."""
    if told.reason is None:
        return "held by the kernel"
    by_kernel = f"{', '.join(told.controllers)} held by the kernel" if told.controllers else ""
    looked = "" if "memory" in told.controllers else "memory is looked at"
    absent = [name for name in ("cpu", "pids") if name not in told.controllers]
    unheld = f"{' and '.join(absent)} cannot be held" if absent else ""
    return f"{', '.join(filter(None, [by_kernel, looked, unheld]))} ({told.reason})"


def _applied(config: "ConfigStatus") -> str:
    if config.path is None:
        return config.source
    if config.applied_at is None:
        return f"{config.path} (never applied)"
    when = moment(datetime.fromtimestamp(config.applied_at, UTC))
    return f"{config.path}, #{config.generation} applied {when}"


def row(worker: "WorkerStatus", *, now: datetime) -> tuple[str, ...]:
    """Return a row below `HEADERS`."""
    return (
        worker.name,
        worker.state,
        ago(worker.since, now=now),
        f"{worker.running_count}/{worker.slots}",
        worker.reason or "",
        following(worker, now=now),
    )


def following(worker: "WorkerStatus", *, now: datetime) -> str:
    """Return what comes next, and when."""
    if worker.next_at is None:
        return worker.next_action or ""
    left = max(0.0, (worker.next_at - now).total_seconds())
    return f"{worker.next_action or 'something'} in {rough(left)}"
