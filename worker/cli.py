"""The command line of a worker: `worker run`, `worker dev` and `worker once`.

`run` is one worker that is told everything by options. `dev` and `once` are told by a `.env` in the
folder at hand, and ask for what is missing; they keep the worker alive.

The launcher is forked before anything else is imported, because it must be forked while there is
no thread and little memory.
"""

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

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
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the worker keeps what must survive its restarts.",
)
@click.option("--slots", default=1, show_default=True, type=click.IntRange(min=1))
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="May be given several times.")
@click.option(
    "--name",
    help="For log lines; by default the name of the token's file. Without a token's file: which "
    "worker of the configuration.",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The configuration that --name is in (by default ~/.config/orchestrator/workers.yaml).",
)
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
    token_file: Path | None,
    state_dir: Path | None,
    directory: Path,
    name: str | None,
    config: Path | None,
    **rest: object,
) -> None:
    """Run one worker here until it is stopped.

    Which one is said by options (--token-file and --state-dir), or by --name alone: then it is an
    entry of workers.yaml, run as it stands there. Ctrl-C lets running jobs finish, a second one
    interrupts them, a third leaves them running.
    """
    if name is not None and token_file is None and state_dir is None:
        _become_entry(name, config)
    if token_file is None or state_dir is None:
        raise click.UsageError(
            "which worker? give --token-file and --state-dir, or --name of one in workers.yaml"
        )
    from orchestrator.kernel import delegation, launcher

    delegation.settle()
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


def _become_entry(name: str, config: Path | None) -> NoReturn:
    """Become the program that knows the configuration; a worker reads none itself."""
    told = [] if config is None else ["--config", str(config)]
    os.execv(  # noqa: S606 - no shell, and nothing of it comes from elsewhere
        sys.executable, [sys.executable, "-m", "orchestrator", "entry", name, *told]
    )


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
@click.option(
    "--wait",
    "wait_s",
    callback=lambda _context, _option, text: _seconds(text),
    metavar="TIME",
    help="Wait so long for each job (90, 90s, 15m, 2h); if none came, end with 8, or 69 without "
    "a server.",
)
@click.option(
    "--job",
    "job_id",
    callback=lambda _context, _option, text: _job_id(text),
    metavar="ID",
    help="Run that job and no other. If it cannot come (it is over, held, somebody else's, or not "
    "for this worker), end with 8.",
)
@click.option(
    "--max-jobs",
    "most_jobs",
    type=click.IntRange(min=1),
    metavar="N",
    help="Run so many jobs, one after the other. [default: 1]",
)
@click.option(
    "--reflect-exit-status",
    "reflects",
    is_flag=True,
    help="Return what the job returned: its code, 128 and its signal, 124 for a timeout. Of "
    "several the first that did not succeed counts.",
)
def once(
    wait_s: float | None, job_id: str | None, most_jobs: int | None, *, reflects: bool
) -> None:
    """Run one job in this folder, or a few, as its .env says, and end."""
    if job_id is not None and most_jobs is not None:
        raise click.UsageError("--job is one job, so --max-jobs says nothing beside it")
    more: dict[str, object] = {"job_id": job_id, "most_jobs": most_jobs or 1, "job_wait_s": wait_s}
    _keep({**more, "slots": 1}, None, reflects=reflects)


def _job_id(text: str | None) -> str | None:
    """Return the id of a job."""
    from orchestrator.protocol.ids import is_id

    if text is not None and not is_id("job", text):
        raise click.BadParameter(f"{text!r} is no id of a job, which begins with job_")
    return text


def _seconds(text: str | None) -> float | None:
    """Return a length of time as people write it."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?", text.strip())
    if found is None:
        raise click.BadParameter(f"{text!r} is no length of time; write 90, 90s, 15m or 2h")
    return float(found[1]) * {"ms": 0.001, "m": 60, "h": 3600, "d": 86_400}.get(found[2], 1)


def _keep(more: dict[str, object], seed: str | None, *, reflects: bool = False) -> None:
    from orchestrator.kernel import delegation, launcher

    delegation.settle()
    process = launcher.start(preload=["worker.shim"])

    from orchestrator.kernel.errors import OrchestratorError
    from worker import dev as program
    from worker import enrolment

    try:
        told = _told()
        told = enrolment.with_token(told)
        program.check_alone(told.token())
        plan = program.Plan({**told.settings(), **more}, seed, reflects=reflects)
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
    from worker import interview

    return interview.ask(told, missing)
