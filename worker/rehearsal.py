"""What every worker does first, done once in the process that they are forked from.

Whatever is imported, made or looked up here, all of them have, and share its memory as long as none
of them changes it. It calls nobody and leaves nothing behind: no thread, no descriptor, no loop.
"""

import importlib.util
import sys
from typing import Final

import anyio

from orchestrator.protocol.tokens import WorkerToken
from worker.link import Link

NOWHERE: Final = "http://127.0.0.1:1"
NOBODY: Final = WorkerToken("machine", "worker", "secret")
OPTIONAL: Final = "sniffio"
"""The HTTP library tries to import it with every request. What is not there is looked for in every
folder of the path each time, unless it is noted that it is not there."""

SOON: Final = ("connect_tcp", "create_task_group", "fail_after", "sleep", "wait_readable")
"""What that library loads when it is first asked for, and every worker asks for."""


def rehearse() -> None:
    """Do it."""
    if importlib.util.find_spec(OPTIONAL) is None:
        sys.modules[OPTIONAL] = None  # type: ignore[assignment]  # the import system's own mark
    anyio.run(_connect)


async def _connect() -> None:
    """Make what a connection needs, which is most of what a worker imports late."""
    async with Link(NOWHERE, NOBODY):
        for name in SOON:
            getattr(anyio, name)
