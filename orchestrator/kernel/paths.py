"""Where files of ours live on this machine.

It names places and creates none; what is in them is their owners' business. The places are those
of the platform (on Linux the XDG folders, whose variables are respected), so that a backup or a
cleaning tool which knows the platform knows us.
"""

from pathlib import Path

from platformdirs import user_data_path, user_state_path

_APPLICATION = "orchestrator"


def data_dir() -> Path:
    """Return where an installation keeps what must not be lost: database, files, tokens."""
    return user_data_path(_APPLICATION)


def state_dir() -> Path:
    """Return where a machine keeps what can be made again."""
    return user_state_path(_APPLICATION)


def connection_file() -> Path:
    """Return the file that tells the command line of this user where the local server is."""
    return state_dir() / "connection.json"
