"""The command line of a worker: `worker run`, `worker dev` and `worker once`.

`run` is one worker that is told everything by options. `dev` and `once` are told by a `.env` in the
folder at hand, and ask for what is missing; they keep the worker alive.

The launcher is forked before anything else is imported, because it must be forked while there is
no thread and little memory.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from worker.dotenv_file import Told

DEFAULT_URL: Final = "http://127.0.0.1:8700"


def _in_bytes(_context: click.Context, _option: click.Parameter, mib: int | None) -> int | None:
    """Return a number of mebibytes in bytes."""
    return None if mib is None else mib * 2**20


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Run jobs of a control server on this machine."""


@main.command()
@click.option("--server-url", default=DEFAULT_URL, show_default=True, metavar="URL")
@click.option(
    "--token-file",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where the worker's token is (machine_…:worker_…:secret_…), readable by you alone.",
)
@click.option(
    "--directory",
    default=".",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Where jobs without an upload run; by default here.",
)
@click.option(
    "--state-dir",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the worker keeps what must survive its restarts.",
)
@click.option("--slots", default=1, show_default=True, type=click.IntRange(min=1))
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="May be given several times.")
@click.option("--name", help="For log lines; by default the name of the token's file.")
@click.option(
    "--spool-max",
    "spool_max_bytes",
    callback=_in_bytes,
    default=1024,
    show_default=True,
    type=click.IntRange(min=32),
    metavar="MIB",
    help="How much may wait here for the server; what jobs say beyond that is not kept.",
)
@click.option(
    "--min-free",
    "min_free_bytes",
    callback=_in_bytes,
    type=click.IntRange(min=0),
    metavar="MIB",
    help="Take no jobs while less is free on the state directory's disk. "
    "By default 2048, or a tenth of a small disk.",
)
@click.option("--takeover", is_flag=True, help="End another process that has the same token.")
def run(
    token_file: Path, state_dir: Path, directory: Path, name: str | None, **rest: object
) -> None:
    """Run one worker here until it is stopped.

    Ctrl-C lets running jobs finish, a second one interrupts them, a third leaves them running.
    """
    from orchestrator.kernel import launcher

    process = launcher.start(preload=["worker.shim"])

    from pydantic import ValidationError

    from orchestrator.kernel import packets
    from worker import main as program
    from worker.settings import WorkerSettings

    try:
        settings = WorkerSettings.model_validate(
            {
                **rest,
                "name": name or token_file.stem[:64] or "worker",
                "token_file": token_file,
                "state_dir": state_dir,
                "working_directory": directory,
            }
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise click.UsageError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    ours, theirs = packets.pair()
    with theirs:
        process.lend(theirs.fileno(), "worker.shim:main")
    try:
        raise SystemExit(program.run(settings, ours))
    finally:
        process.close()


@main.command()
@click.option(
    "--kill-after",
    "kill_after_s",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="A fault on purpose: the worker is killed so long after it took a job.",
)
@click.option(
    "--random-failures",
    "seed",
    is_flag=False,
    flag_value="0",
    metavar="[SEED]",
    help="Faults on purpose: it is killed with a chance of 10% each second.",
)
def dev(kill_after_s: float | None, seed: str | None) -> None:
    """Run a worker for this folder, as its .env says, until Ctrl-C.

    It needs SERVER_URL and WORKER_TOKEN, from the environment or from .env; on a terminal it asks
    for what is missing. A worker that dies is started again and finds its jobs.
    """
    _keep({"kill_after_s": kill_after_s}, seed)


@main.command()
def once() -> None:
    """Run one job in this folder, as its .env says, and end."""
    _keep({"once": True, "slots": 1}, None)


def _keep(more: dict[str, object], seed: str | None) -> None:
    from orchestrator.kernel import launcher

    process = launcher.start(preload=["worker.shim"])

    from orchestrator.kernel.errors import OrchestratorError
    from worker import dev as program

    try:
        plan = program.Plan({**_told().settings(), **more}, seed)
        raise SystemExit(program.run(plan, process))
    except OrchestratorError as error:
        click.echo(f"worker: {error.message}", err=True)
        if error.hint:
            click.echo(f"  {error.hint}", err=True)
        raise SystemExit(error.exit_code) from None
    finally:
        process.close()


def _told() -> "Told":
    """Return what is known, asking a person for the rest."""
    from orchestrator.kernel.errors import ConfigInvalid
    from worker import dotenv_file
    from worker.settings import environment_of_ours

    folder = Path.cwd()
    told = dotenv_file.read(folder, environment_of_ours())
    missing = told.missing()
    if not missing:
        if dotenv_file.open_to_others(folder):
            click.echo(f"worker: other users can read {folder / dotenv_file.FILE}", err=True)
            click.echo("  close it with: chmod 600 .env", err=True)
        return told
    if not sys.stdin.isatty():
        raise ConfigInvalid(
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set",
            hint=f"write them into {folder / dotenv_file.FILE} (chmod 600), one NAME=VALUE in a "
            "line, or set them in the environment; on a terminal you are asked",
        )
    answers = {
        name: click.prompt(name, hide_input=name == dotenv_file.TOKEN[0], err=True).strip()
        for name in missing
    }
    dotenv_file.save(folder, answers)
    click.echo(f"worker: saved in {folder / dotenv_file.FILE}", err=True)
    return dotenv_file.read(folder, environment_of_ours())
