"""`orchestrator run`: keep this machine's workers (and perhaps a server) alive.

Nothing big may be imported here before the launcher is forked: it stays as small as this process is
at that moment, and everything that is started later is forked from it.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from orchestrator.commands import output
from orchestrator.commands.options import Address, Duration
from orchestrator.protocol import limits

if TYPE_CHECKING:
    from orchestrator.supervisor.settings import LocalSettings


class Options(TypedDict):
    """What click hands over, by the names of the parameters."""

    local: bool
    listen: tuple[str, int]
    insecure_http: bool
    data_dir: Path | None
    directory: Path
    slots: int | None
    tags: tuple[str, ...]
    drain_timeout_s: float


@click.command()
@click.option("--local", is_flag=True, help="Start a server and one worker here, for this folder.")
@click.option(
    "--listen",
    type=Address(),
    default="127.0.0.1:8700",
    show_default=True,
    metavar="HOST:PORT",
    help="Where the server is reached.",
)
@click.option(
    "--insecure-http",
    is_flag=True,
    help="Serve other machines without encryption: keys are readable on the way.",
)
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where everything is kept (by default where the platform says).",
)
@click.option(
    "--directory",
    type=click.Path(exists=True, file_okay=False, resolve_path=True, path_type=Path),
    default=".",
    help="Where jobs without an upload run (here).",
)
@click.option(
    "--slots", type=click.IntRange(1, limits.SLOTS_MAX), help="Jobs at a time (one per core)."
)
@click.option("--tag", "tags", multiple=True, help="What jobs can ask for; several may be given.")
@click.option(
    "--drain-timeout",
    "drain_timeout_s",
    type=Duration(),
    default="10m",
    show_default=True,
    help="How long the first Ctrl-C lets running jobs finish.",
)
def run(**options: Unpack[Options]) -> int:
    """Run jobs on this machine until Ctrl-C."""
    if not options["local"]:
        raise click.UsageError(
            "say --local: a server, a supervisor and one worker for this folder, all here"
        )
    warn_root()
    from orchestrator.kernel import launcher

    launched = launcher.start()  # before any big import, thread or event loop
    from orchestrator.supervisor.local import run_local

    return run_local(_settings(options), launched)


def _settings(options: Options) -> "LocalSettings":
    from orchestrator.kernel.paths import data_dir
    from orchestrator.supervisor.settings import LocalSettings

    host, port = options["listen"]
    return LocalSettings(
        host=host,
        port=port,
        insecure_http=options["insecure_http"],
        data_dir=options["data_dir"] or data_dir(),
        directory=options["directory"],
        slots=options["slots"] or os.cpu_count() or 1,
        tags=options["tags"],
        drain_timeout_s=options["drain_timeout_s"],
    )


def warn_root() -> None:
    """Say once what it means to run this as root."""
    if os.geteuid() == 0:
        output.say("running as root: every job will run as root and can do anything here")
        output.advise(
            "to avoid that, check it out and start it as a user of its own, not by sudo from here"
        )
