"""An empty data directory, in which a backup is brought back: all of it, or nothing.

Everything is made ready in a folder below it and moved to its place in the end, the database last.
While that folder is there the directory is nobody's: no server begins with it, and what else is in
it came from the same restore, so the next one may remove it and begin again.
"""

import os
import shutil
from pathlib import Path
from typing import Final

from orchestrator.kernel.errors import AlreadyExists, ConfigInvalid
from orchestrator.kernel.files import sync_dir
from orchestrator.server.backup.manifest import DATABASE

STAGING: Final = ".restoring"
LOCK: Final = "lock"
_OURS: Final = frozenset({LOCK, STAGING})


def require_restored(folder: Path) -> None:
    """Refuse a data directory into which a backup was brought back only in part."""
    if (folder / STAGING).exists():
        raise ConfigInvalid(
            f"a restore into {folder} has begun, and has not ended",
            hint="run `orchestrator server restore` again: it begins anew",
        )


def begin(folder: Path) -> Path:
    """Return an empty folder in which to make everything ready; refuse a directory with data."""
    staging = folder / STAGING
    others = [path for path in folder.iterdir() if path.name not in _OURS]
    if others and not staging.exists():
        raise AlreadyExists(
            f"{folder} is not empty: it holds {others[0].name}",
            hint="a backup is brought back into an empty folder; move away what is there, or "
            "choose another one with --data-dir",
        )
    for path in others:
        _remove(path)
    if staging.exists():
        shutil.rmtree(staging)
    staging.mkdir(mode=0o700)
    sync_dir(folder)
    return staging


def finish(folder: Path) -> None:
    """Move everything to its place for good."""
    staging = folder / STAGING
    for root, _, _ in os.walk(staging):
        sync_dir(Path(root))
    for path in sorted(staging.iterdir(), key=lambda path: path.name.startswith(DATABASE)):
        path.rename(folder / path.name)
    sync_dir(folder)
    staging.rmdir()
    sync_dir(folder)


def discard(folder: Path) -> None:
    """Leave the directory as empty as it was."""
    shutil.rmtree(folder / STAGING, ignore_errors=True)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
