"""`orchestrator why`: why a worker of this machine takes jobs or not, in sentences."""

from datetime import UTC, datetime
from pathlib import Path

import click

from orchestrator.commands import output
from orchestrator.commands.machine.finding import find, state_dir_option, worker_argument
from orchestrator.commands.options import json_option
from orchestrator.kernel.clock import SystemClock


@click.command()
@worker_argument
@state_dir_option
@json_option
def why(worker: str, state_dir: Path | None, *, as_json: bool) -> int:
    """Say how a worker stands, since when, why, and what comes next."""
    from orchestrator.commands.machine.status import following
    from orchestrator.commands.moments import ago, moment
    from orchestrator.protocol.machine import WorkerStatus

    answer = find(state_dir).get(f"/v1/workers/{worker}")
    if as_json:
        output.document(answer.body)
        return 0
    told = answer.read(WorkerStatus)
    now = datetime.fromtimestamp(SystemClock().now(), UTC)
    takes = told.state in {"ready", "busy"}
    output.data(
        f"{told.name} {'takes jobs' if takes else 'takes no jobs'}: it is {told.state} "
        f"since {moment(told.since)} ({ago(told.since, now=now)})"
        + (f": {told.reason}" if told.reason else "")
    )
    following_words = following(told, now=now)
    if following_words:
        output.data(f"  next: {following_words}")
    elif told.state == "paused":
        output.data(f"  next: until somebody says: orchestrator resume {told.name}")
    if told.slots:
        output.data(f"  runs {told.running_count} of at most {told.slots} jobs")
    if told.allowed is not None and told.allowed < told.slots:
        output.data(f"  its share of the machine is {told.allowed} just now (max_jobs)")
    if told.not_held:
        names = ", ".join(f"limits.{name}" for name in told.not_held)
        output.data(f"  nothing here holds its jobs to {names}: orchestrator status says why")
    for job in told.running:
        output.data(f"  {job.job} {job.name or ''}".rstrip())
    if told.configured_at:
        output.data(f"  configured at {told.configured_at}")
    return 0
