"""`orchestrator run`: keep this machine's workers (and perhaps a server) alive.

Nothing big may be imported here before the launcher is forked: it stays as small as this process is
at that moment, and everything that is started later is forked from it.
"""

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypedDict, Unpack

import click

from orchestrator.commands import output
from orchestrator.commands.options import Address, Duration
from orchestrator.commands.surroundings import Surroundings
from orchestrator.kernel.notify import Notifier
from orchestrator.protocol import limits

if TYPE_CHECKING:
    from orchestrator.supervisor.settings import LocalSettings

OF_FILES: Final = frozenset({"config", "strict", "wait_config"})
"""What is only said of a configuration file; all else only of `--local`."""


class Options(TypedDict):
    """What click hands over, by the names of the parameters."""

    config: Path | None
    strict: bool
    wait_config: bool
    local: bool
    listen: tuple[str, int]
    insecure_http: bool
    data_dir: Path | None
    directory: Path
    slots: int | None
    tags: tuple[str, ...]
    drain_timeout_s: float


@click.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="What to run (by default ~/.config/orchestrator/workers.yaml).",
)
@click.option("--strict", is_flag=True, help="Do not start with the last good file.")
@click.option("--wait-config", is_flag=True, help="Wait for a good file instead of ending.")
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
@click.pass_context
def run(ctx: click.Context, /, **options: Unpack[Options]) -> int:
    """Run jobs on this machine until Ctrl-C.

    What is run stands in workers.yaml, and what is saved there is applied at once. With --local
    there is no file: a server and one worker for this folder.
    """
    _check_for_strangers(ctx, local=options["local"])
    surroundings = ctx.ensure_object(Surroundings)
    if not options["local"]:
        return _run_file(surroundings, options)
    warn_root()
    from orchestrator.kernel import delegation, launcher

    delegation.settle()
    launched = launcher.start()  # before any big import, thread or event loop
    from orchestrator.supervisor.local import run_local
    from orchestrator.supervisor.succession import Succession

    succession = Succession.told_by(surroundings.environ)
    settings = replace(
        _settings(options, surroundings.notifier),
        succession=succession,
        environ=surroundings.environ,
    )
    try:
        return run_local(settings, launched)
    finally:
        succession.carry_on(surroundings.environ, surroundings.notifier)


def _check_for_strangers(ctx: click.Context, *, local: bool) -> None:
    """Refuse an option that would not be looked at."""
    for option in ctx.command.params:
        name = str(option.name)
        said = ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
        if said and name != "local" and (name in OF_FILES) is local:
            told = option.opts[0]
            raise click.UsageError(
                f"{told} and --local do not go together"
                if local
                else f"{told} belongs to --local; of a machine with a file it stands in the file"
            )


def _run_file(surroundings: Surroundings, options: Options) -> int:
    from orchestrator.kernel.paths import state_dir
    from orchestrator.supervisor.config.location import locate

    path = locate(options["config"], surroundings.environ)
    waits = options["wait_config"] or surroundings.notifier.is_heard
    if not waits and not path.exists() and not _was_good_once(path):
        from orchestrator.commands.init import UNCONFIGURED, first_run
        from orchestrator.supervisor.succession import own_command

        if not first_run(path):
            return UNCONFIGURED
        # Asking took imports, threads and an event loop, and the launcher must be forked without.
        command = own_command()
        os.execve(command[0], command, dict(surroundings.environ))  # noqa: S606 - our own
    warn_root()
    from orchestrator.kernel import delegation, launcher

    delegation.settle()
    launched = launcher.start()  # before any big import, thread or event loop
    from orchestrator.supervisor.from_file import run_file
    from orchestrator.supervisor.succession import Succession
    from orchestrator.supervisor.watcher import FileSettings

    succession = Succession.told_by(surroundings.environ)
    settings = FileSettings(
        path=path,
        environ=surroundings.environ,
        notifier=surroundings.notifier,
        succession=succession,
        state_dir=state_dir(),
        strict=options["strict"],
        waits=waits,
    )
    try:
        return run_file(settings, launched)
    finally:
        succession.carry_on(surroundings.environ, surroundings.notifier)


def _was_good_once(path: Path) -> bool:
    """Tell whether what stood there was applied the last time, and can be again."""
    from orchestrator.kernel.paths import state_dir
    from orchestrator.supervisor.last_good import LastGood

    kept = LastGood.find(state_dir())
    return kept is not None and kept.path == path


def _settings(options: Options, notifier: Notifier) -> "LocalSettings":
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
        notifier=notifier,
    )


def warn_root() -> None:
    """Say once what it means to run this as root."""
    if os.geteuid() == 0:
        output.say("running as root: every job will run as root and can do anything here")
        output.advise(
            "to avoid that, check it out and start it as a user of its own, not by sudo from here"
        )
