"""`orchestrator logs`: what a worker of this machine wrote into its log."""

import collections
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from orchestrator.commands import output
from orchestrator.commands.machine.finding import find, state_dir_option, worker_argument
from orchestrator.commands.machine.records import words
from orchestrator.commands.options import Duration, json_option

LINES: Final = 100
Record = dict[str, Any]


@click.command()
@worker_argument
@click.option("-f", "--follow", is_flag=True, help="Go on with what is written from now on.")
@click.option("--job", help="Only what names this job.")
@click.option("--since", "since_s", type=Duration(), help="Only what is younger than this.")
@click.option(
    "--lines",
    type=click.IntRange(min=0),
    default=LINES,
    show_default=True,
    help="How many of the last ones; 0 is all.",
)
@state_dir_option
@json_option
def logs(  # noqa: PLR0913 - one for each option
    *,
    worker: str,
    follow: bool,
    job: str | None,
    since_s: float | None,
    lines: int,
    state_dir: Path | None,
    as_json: bool,
) -> int:
    """Show a worker's own log, also of one that does not run."""
    from orchestrator.client import log_files
    from orchestrator.protocol.machine import WorkerStatus

    told = find(state_dir).get(f"/v1/workers/{worker}").read(WorkerStatus)
    path = Path(told.log_file or "")
    wanted = _filter(job, since_s)
    last = collections.deque(filter(wanted, log_files.kept(path)), maxlen=lines or None)
    _show(last, as_json=as_json)
    if follow:
        _show(filter(wanted, log_files.follow(path)), as_json=as_json)
    return 0


def _filter(job: str | None, since_s: float | None) -> Callable[[Record], bool]:
    """Return what tells the wanted records from the others."""
    from orchestrator.kernel.clock import SystemClock

    begin = ""
    if since_s is not None:
        # Its moments are texts of one form, so they compare as what they say.
        begin = datetime.fromtimestamp(SystemClock().now() - since_s, UTC).isoformat()[:23]

    def wanted(record: Record) -> bool:
        of_job = job is None or record.get("job") == job
        return of_job and str(record.get("time", "")) >= begin

    return wanted


def _show(records: Iterable[Record], *, as_json: bool) -> None:
    for record in records:
        if as_json:
            output.line(record)
        else:
            output.data(words(record))
