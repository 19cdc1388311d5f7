"""The command line of a worker: `worker run`, one worker in the foreground.

The launcher is forked before anything else is imported, because it must be forked while there is
no thread and little memory.
"""

from pathlib import Path
from typing import Final

import click

DEFAULT_URL: Final = "http://127.0.0.1:8700"


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
@click.option("--name", default="worker", show_default=True, help="For log lines.")
@click.option("--takeover", is_flag=True, help="End another process that has the same token.")
def run(token_file: Path, state_dir: Path, directory: Path, **rest: object) -> None:
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
