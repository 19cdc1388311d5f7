"""Where the command line of this user finds the embedded server, while there is one.

It writes one file and takes it back; who reads it is `client/connection.py`.
"""

import contextlib
import json
import os
from pathlib import Path

from orchestrator.client.connection import forget_ended
from orchestrator.kernel import linux, paths
from orchestrator.kernel.files import Lock, private_dir, write_private


def connect(data_dir: Path, *, url: str, server_dir: Path) -> None:
    """Tell the command line of this user where the server is, and with which key.

    `AlreadyRunning`: another run does so just now. It is not waited for here, because the event
    loop calls this, and who was stopped in the middle of it holds the lock as long as it likes.
    """
    path = paths.connection_file(data_dir)
    private_dir(paths.state_dir())
    private_dir(path.parent)
    connection = {
        "url": url,
        "api_key_file": str(server_dir / "admin.key"),
        "data_dir": str(data_dir),
        "pid": os.getpid(),
        "started": linux.start_time(os.getpid()),
        "boot": linux.boot_id(),
    }
    # One at a time: a file that was looked at is removed before its next run writes it anew.
    with Lock(paths.state_dir() / "connections.lock").take("another run"):
        forget_ended(paths.connection_files())
        write_private(path, json.dumps(connection, indent=2) + "\n")


def disconnect(data_dir: Path) -> None:
    """Take that back: there is no server any more."""
    with contextlib.suppress(OSError):
        paths.connection_file(data_dir).unlink()
