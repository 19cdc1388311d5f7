"""`orchestrator server`: the control server by itself."""

from pathlib import Path
from typing import TypedDict, Unpack

import click

from orchestrator.commands.lazy import LazyGroup
from orchestrator.commands.options import Address
from orchestrator.commands.surroundings import Surroundings


class Options(TypedDict):
    """What click hands over, by the names of the parameters."""

    data_dir: Path | None
    listen: tuple[str, int]
    database: str | None
    lifeline_fd: int | None
    listen_fd: int | None
    insecure_http: bool


@click.group("server", cls=LazyGroup)
def server() -> None:
    """Run the control server, save its data, bring them back."""


server.members = {
    "run": "orchestrator.commands.server:run_server",
    "backup": "orchestrator.commands.backup:backup",
    "prune": "orchestrator.commands.prune:prune",
    "restore": "orchestrator.commands.backup:restore",
}


@click.command("run")
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the server keeps everything (by default where the platform says).",
)
@click.option(
    "--listen",
    type=Address(),
    default="127.0.0.1:8700",
    show_default=True,
    metavar="HOST:PORT",
    help="Where it is reached.",
)
@click.option(
    "--listen-fd",
    type=click.IntRange(min=3),
    metavar="FD",
    help="A listening socket that was passed on (systemd's first one is 3), instead of --listen.",
)
@click.option(
    "--database",
    metavar="URL",
    help="A PostgreSQL database instead of a file: postgresql://user@host:5432/name. A password "
    "belongs in ORCHESTRATOR_DATABASE or ~/.pgpass.",
)
@click.option("--lifeline-fd", type=click.IntRange(min=3), hidden=True)
@click.option(
    "--insecure-http",
    is_flag=True,
    help="Serve other machines without encryption: keys are readable on the way.",
)
@click.pass_obj
def run_server(surroundings: Surroundings, **options: Unpack[Options]) -> int:
    """Run the control server until it is told to stop."""
    from orchestrator.kernel.listening import authority
    from orchestrator.kernel.paths import data_dir
    from orchestrator.server.main import run
    from orchestrator.server.settings import load

    settings = load(
        options["data_dir"] or data_dir() / "server",
        authority(*options["listen"]),
        insecure_http=options["insecure_http"],
        database=options["database"],
        environ=surroundings.environ,
    )
    return run(settings, options["lifeline_fd"], options["listen_fd"], surroundings.notifier)
