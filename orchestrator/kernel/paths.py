"""Where files of ours live on this machine.

It names places and creates none; what is in them is their owners' business. The places are those
of the platform (on Linux the XDG folders, whose variables are respected), so that a backup or a
cleaning tool which knows the platform knows us. Two variables of our own move what somebody wants
on a disk, or in a volume, of its own: the data, and the logs.
"""

import hashlib
import os
from pathlib import Path
from typing import Final

from platformdirs import user_data_path, user_state_path

from orchestrator.kernel.errors import ConfigInvalid

DATA_DIR: Final = "ORCHESTRATOR_DATA_DIR"
LOG_DIR: Final = "ORCHESTRATOR_LOG_DIR"
_APPLICATION = "orchestrator"


def data_dir() -> Path:
    """Return where an installation keeps what must not be lost: database, files, tokens."""
    return _said(DATA_DIR) or user_data_path(_APPLICATION)


def log_dir() -> Path | None:
    """Return where every program keeps its log in a file, if somebody said where."""
    return _said(LOG_DIR)


def worker_log_dir() -> Path | None:
    """Return where workers keep theirs then: apart, as one may be called as a program is."""
    folder = log_dir()
    return None if folder is None else folder / "workers"


def state_dir() -> Path:
    """Return where a machine keeps what can be made again."""
    return user_state_path(_APPLICATION)


def connection_file(folder: Path | None = None) -> Path:
    """Return the file that tells the command line of this user where a local server is.

    Each data directory has its own, so that two installations of one user do not overwrite each
    other's; that of the usual data directory has the short name.
    """
    if folder is None or folder == data_dir():
        return state_dir() / "connection.json"
    digest = hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    return _others() / f"{digest}.json"


def connection_files() -> list[Path]:
    """Return where a local server may be told of, the usual place first."""
    return [connection_file(), *sorted(_others().glob("*.json"))]


def _said(variable: str) -> Path | None:
    text = os.environ.get(variable, "")
    if not text:
        return None
    if not (path := Path(text)).is_absolute():
        raise ConfigInvalid(
            f"{variable}: {text!r} is no whole path", hint="write one that begins with /"
        )
    return path


def _others() -> Path:
    return state_dir() / "connections"
