"""`orchestrator add`, `remove`, `set`, `unset`: edit workers.yaml, and keep its comments."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
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

    if token is not None and (token_stdin or not token.startswith("${")):
        raise click.UsageError(
            "--token takes a reference such as ${file:tokens/web}, because every user of this "
            "machine can read what is typed here; pass the token itself with --token-stdin"
        )
    path, read = _path(config, surroundings), None
    edits.check_name(worker)
    if token_stdin:
        if (path.parent / "tokens" / worker).exists():
            raise click.UsageError(f"{path.parent / 'tokens' / worker} is there already")
        read = _token_of_stdin()
    keys: list[tuple[str, str | int | None]] = [
        ("token", edits.kept_token(worker) if token_stdin else token),
        ("working_directory", directory),
        ("server_url", server_url),
        ("concurrency", concurrency),
    ]
    said = [(key, value) for key, value in keys if value is not None]
    edited = edits.add(path, surroundings.environ, worker, said, token=read)
    if read is None or dry_run:
        return _told(edited, dry_run=dry_run)
    with _keeping(read, path, worker):
        return _told(edited, dry_run=False)


def _token_of_stdin() -> str:
    from orchestrator.kernel.errors import ConfigInvalid
    from orchestrator.protocol.tokens import WorkerToken
    from orchestrator.supervisor.config import tokens

    read = sys.stdin.readline(TOKEN_CHARS).strip()
    if WorkerToken.parse(read) is None:
        message, hint = tokens.fault(read)
        raise ConfigInvalid(f"standard input: {message}", hint=hint)
    return read


@contextmanager
def _keeping(token: str, path: Path, worker: str) -> Iterator[None]:
    """Keep the token beside the file; if that does not come to refer to it, it goes again."""
    from orchestrator.supervisor.config import edits
    from orchestrator.supervisor.config.first.writing import write_token

    kept = write_token(path.parent, worker, token)
    try:
        yield
    except BaseException:
        # Whatever was raised, and wherever: the file alone tells whether it was replaced.
        if not _has(path, edits.kept_token(worker)):
            kept.unlink()
        raise


def _has(path: Path, text: str) -> bool:
    """Tell whether a file has that text in it, or may have, because nobody can look."""
    try:
        return text.encode() in path.read_bytes()
    except OSError:
        return True


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
