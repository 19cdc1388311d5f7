"""`orchestrator server backup` and `restore`: save a server's data, and bring them back."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from orchestrator.commands import output
from orchestrator.commands.options import json_option
from orchestrator.commands.surroundings import Surroundings

if TYPE_CHECKING:
    from orchestrator.server.backup.manifest import Manifest

_data_dir = click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the server keeps everything (by default where the platform says).",
)
_DEGRADED: Final = 3
_UMASK: Final = 0o077
"""What is saved is for its owner alone, as what it was saved from."""


@click.command()
@click.argument("target", metavar="FILE|DIR", type=click.Path(path_type=Path))
@_data_dir
@json_option
@click.pass_obj
def backup(
    surroundings: Surroundings, target: Path, data_dir: Path | None, *, as_json: bool
) -> int:
    """Save the server's data as they are now, whether or not it runs.

    FILE, which ends with .tar, or DIR must not be there yet.
    """
    from datetime import UTC, datetime

    from orchestrator.commands.progress import progress
    from orchestrator.kernel.clock import SystemClock
    from orchestrator.server.backup.making import make
    from orchestrator.server.settings import DATABASE

    _refuse_postgres(surroundings.environ.get(DATABASE))
    os.umask(_UMASK)
    made_at = datetime.fromtimestamp(SystemClock().now(), UTC)
    made = make(_folder(data_dir), target, progress, made_at=made_at)
    _tell(made, f"saved in {target}", as_json=as_json)
    if made.lost:
        output.say(f"{len(made.lost)} files that jobs name are gone or damaged:")
        output.advise(*made.lost[:10], "the rest is saved; see lost in manifest.json")
        return _DEGRADED
    return 0


@click.command()
@click.argument(
    "source", metavar="FILE|DIR", type=click.Path(exists=True, path_type=Path), required=False
)
@_data_dir
@click.option("--verify", is_flag=True, help="Only read all of it, and say whether it is sound.")
@click.option(
    "--in-place",
    is_flag=True,
    help="The data are there already, brought back by other means: hold what was not over.",
)
@click.option("--database", metavar="URL", help="With --in-place: a database on PostgreSQL.")
@json_option
@click.pass_obj
def restore(  # noqa: PLR0913 - what click hands over
    surroundings: Surroundings,
    source: Path | None,
    data_dir: Path | None,
    database: str | None,
    *,
    verify: bool,
    in_place: bool,
    as_json: bool,
) -> int:
    """Bring a backup back into an empty folder.

    Every job that was not over when the backup was made is held: look what became of it, then let
    it go with `orchestrator jobs release`, or cancel it.
    """
    from orchestrator.commands.progress import progress
    from orchestrator.kernel.clock import SystemClock
    from orchestrator.server.backup import restoring

    if in_place:
        if source is not None or verify:
            raise click.UsageError("--in-place takes no backup: the data are there already")
        return _settle(surroundings, _folder(data_dir), database)
    if source is None:
        raise click.UsageError("name the backup: a folder, or a .tar file")
    if database is not None:
        raise click.UsageError("--database goes with --in-place: restore it with pg_restore first")
    if verify:
        _tell(restoring.verify(source, progress), f"{source} is sound", as_json=as_json)
        return 0
    os.umask(_UMASK)
    folder = _folder(data_dir)
    done = restoring.restore(source, folder, progress, SystemClock())
    _tell(done.manifest, f"brought back into {folder}", as_json=as_json)
    _advise(done.held)
    return 0


def _settle(surroundings: Surroundings, folder: Path, database: str | None) -> int:
    from orchestrator.kernel.clock import SystemClock
    from orchestrator.server.backup.restoring import settle
    from orchestrator.server.settings import load

    settings = load(folder, database=database, environ=surroundings.environ)
    _advise(settle(settings.database, folder, SystemClock()))
    return 0


def _folder(data_dir: Path | None) -> Path:
    from orchestrator.kernel.paths import data_dir as usual

    return data_dir or usual() / "server"


def _refuse_postgres(database: str | None) -> None:
    if database is not None:
        from orchestrator.kernel.errors import ConfigInvalid

        raise ConfigInvalid(
            "the server's database is on PostgreSQL, which has backups of its own",
            hint="stop the server; pg_dump -Fc, and a copy of the data directory; see "
            "ORCHESTRATOR.md, Backup and restore",
        )


def _tell(manifest: "Manifest", what: str, *, as_json: bool) -> None:
    if as_json:
        output.document(manifest.model_dump_json(exclude={"entries"}).encode())
        return
    files = len(manifest.entries) - 1
    output.say(
        f"{what}: {manifest.jobs} jobs, {files} files, {manifest.size / 2**20:.1f} MiB, "
        f"as of {manifest.made_at:%Y-%m-%d %H:%M:%SZ}"
    )


def _advise(held: int) -> None:
    if held:
        output.say(f"{held} jobs were not over and are held, because they may have run since")
        output.advise(
            "see them: orchestrator jobs list --state held",
            "let one go: orchestrator jobs release ID",
            "give one up: orchestrator jobs cancel ID",
        )
