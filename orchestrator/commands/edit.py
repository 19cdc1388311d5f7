"""`orchestrator add`, `remove`, `set`, `unset`: edit workers.yaml, and keep its comments."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from orchestrator.commands import output
from orchestrator.commands.surroundings import Surroundings

if TYPE_CHECKING:
    from orchestrator.supervisor.config.edits import Edited

TOKEN_CHARS: Final = 4096
_config = click.option(
    "--config", type=click.Path(dir_okay=False, path_type=Path), help="Which file to edit."
)
_dry_run = click.option("--dry-run", is_flag=True, help="Only show what would change.")


@click.command("set")
@click.argument("key", metavar="KEY")
@click.argument("value", metavar="VALUE")
@_config
@_dry_run
@click.pass_obj
def put(
    surroundings: Surroundings, key: str, value: str, *, config: Path | None, dry_run: bool
) -> int:
    """Say something anew in workers.yaml: KEY is such as web.concurrency or machine.max_jobs.

    VALUE is written as in the file: 2, true, [node, build], {timeout: 1h}.
    """
    from orchestrator.supervisor.config import edits

    path = _path(config, surroundings)
    return _told(edits.put(path, surroundings.environ, key, value), dry_run=dry_run)


@click.command()
@click.argument("key", metavar="KEY")
@_config
@_dry_run
@click.pass_obj
def unset(surroundings: Surroundings, key: str, *, config: Path | None, dry_run: bool) -> int:
    """Remove a key from workers.yaml, such as web.limits.memory: its default holds again."""
    from orchestrator.supervisor.config import edits

    path = _path(config, surroundings)
    return _told(edits.unset(path, surroundings.environ, key), dry_run=dry_run)


@click.command()
@click.argument("worker", metavar="WORKER")
@_config
@_dry_run
@click.pass_obj
def remove(surroundings: Surroundings, worker: str, *, config: Path | None, dry_run: bool) -> int:
    """Remove a worker from workers.yaml; what it runs is finished first. Its token stays."""
    from orchestrator.supervisor.config import edits

    path = _path(config, surroundings)
    return _told(edits.remove(path, surroundings.environ, worker), dry_run=dry_run)


@click.command()
@click.argument("worker", metavar="NAME")
@click.option("--directory", required=True, help="Where its jobs run.")
@click.option("--server-url", help="Its server; else what `defaults` say, or the embedded one.")
@click.option(
    "--token",
    metavar="REFERENCE",
    help="Where its token is, such as '${file:tokens/web}' or '${env:WEB_TOKEN}'.",
)
@click.option("--token-stdin", is_flag=True, help="Read the token, and keep it in tokens/NAME.")
@click.option("--concurrency", type=click.IntRange(min=1), help="Jobs at once.")
@_config
@_dry_run
@click.pass_obj
def add(  # noqa: PLR0913 - one for each option
    surroundings: Surroundings,
    worker: str,
    *,
    directory: str,
    server_url: str | None,
    token: str | None,
    token_stdin: bool,
    concurrency: int | None,
    config: Path | None,
    dry_run: bool,
) -> int:
    """Add a worker to workers.yaml; a running orchestrator starts it within two seconds."""
    from orchestrator.supervisor.config import edits
    from orchestrator.supervisor.config.first.writing import write_token

    if token is not None and (token_stdin or not token.startswith("${")):
        raise click.UsageError(
            "--token takes a reference such as ${file:tokens/web}, because every user of this "
            "machine can read what is typed here; pass the token itself with --token-stdin"
        )
    path, kept = _path(config, surroundings), None
    if token_stdin and not dry_run:
        if (path.parent / "tokens" / worker).exists():
            raise click.UsageError(f"{path.parent / 'tokens' / worker} is there already")
        kept = write_token(path.parent, worker, sys.stdin.readline(TOKEN_CHARS).strip())
    keys: list[tuple[str, str | int | None]] = [
        ("token", f"${{file:tokens/{worker}}}" if token_stdin else token),
        ("working_directory", directory),
        ("server_url", server_url),
        ("concurrency", concurrency),
    ]
    said = [(key, value) for key, value in keys if value is not None]
    try:
        edited = edits.add(path, surroundings.environ, worker, said)
        return _told(edited, dry_run=dry_run)
    except BaseException:
        if kept is not None:
            kept.unlink()  # nobody refers to it
        raise


def _path(config: Path | None, surroundings: Surroundings) -> Path:
    from orchestrator.supervisor.config.location import locate

    return locate(config, surroundings.environ)


def _told(edited: "Edited", *, dry_run: bool) -> int:
    """Show what changes, and change it."""
    changes = edited.diff()
    for line in changes:
        output.data(line)
    if not changes and edited.before == edited.after:
        output.say("nothing changes")
    elif not dry_run:
        edited.write()
        output.say(f"saved {edited.path}")
    return 0
