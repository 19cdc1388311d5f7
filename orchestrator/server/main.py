"""The server as a program: what is set before anything is opened, and what is left at the end."""

import os
import resource
from typing import Final

import anyio

from orchestrator.kernel import descriptors, kept_log, listening, logs, paths, stacks
from orchestrator.kernel.errors import cause
from orchestrator.kernel.files import Lock, private_dir
from orchestrator.kernel.journald import Journal
from orchestrator.kernel.lifeline import Lifeline
from orchestrator.kernel.notify import Notifier
from orchestrator.server.app import UNHEARD, serve
from orchestrator.server.backup.staging import LOCK, require_restored
from orchestrator.server.settings import ServerSettings

LOG: Final = "server.log"
_UMASK: Final = 0o077
_DESCRIPTORS: Final = 65_536
"""A connection is a descriptor, and a hundred workers hold three each."""


def run(
    settings: ServerSettings,
    lifeline_fd: int | None = None,
    listen_fd: int | None = None,
    notifier: Notifier = UNHEARD,
) -> int:
    """Run a server until it is told to stop; return its exit code.

    What keeps it from starting is raised, for the command line to render.
    """
    os.umask(_UMASK)
    _limit_resources()
    logs.set_up(journal=Journal.behind())
    if (folder := paths.log_dir()) is not None:
        kept_log.keep_in(folder, LOG)
    stacks.log_on_signal()
    lifeline = None if lifeline_fd is None else Lifeline.from_fd(lifeline_fd)
    passed = None
    if listen_fd is not None:
        passed = listening.from_fd(listen_fd, insecure_http=settings.insecure_http)
    data = private_dir(settings.data_dir)
    with Lock(data / LOCK).take("a server"):
        require_restored(data)
        try:
            anyio.run(serve, settings, lifeline, passed, notifier)
        except BaseExceptionGroup as group:
            raise cause(group) from group
    return 0


def _limit_resources() -> None:
    """Allow many connections; write no core dump, because it would hold every key in memory."""
    descriptors.raise_limit(_DESCRIPTORS)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
