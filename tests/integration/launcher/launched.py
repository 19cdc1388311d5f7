"""A launcher for the length of a block, and what its children say."""

import contextlib
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import anyio

from orchestrator.kernel import launcher as launcher_process
from orchestrator.kernel import packets
from orchestrator.kernel.launching import Launcher
from tests.support.processes import Family

HERE = "tests.integration.launcher.entries"


@contextlib.asynccontextmanager
async def launched() -> AsyncIterator[Launcher]:
    """Give a running launcher; afterwards none of its processes is left."""
    process = launcher_process.start()
    family = Family(process.pid)
    try:
        async with Launcher.over(process) as launcher:
            try:
                yield launcher
            finally:
                family.look()
    finally:
        family.assert_gone()


class Line:
    """One end here, one to pass to a child; this end hears when the child is gone."""

    def __init__(self) -> None:
        self.ours, self.theirs = packets.pair()
        self.ours.setblocking(False)

    @property
    def fd(self) -> int:
        """Return the descriptor to pass."""
        return self.theirs.fileno()

    def passed(self) -> None:
        """Close this process's copy of what was passed."""
        self.theirs.close()

    async def hear(self) -> bytes:
        """Return the next thing that the child says; nothing at its end."""
        with anyio.fail_after(10):
            await anyio.wait_readable(self.ours)
        try:
            return self.ours.recv(100_000)
        except ConnectionError:
            return b""

    async def hear_number(self) -> int:
        """Return the next thing as a number."""
        return int(await self.hear())

    async def hear_all(self) -> Any:
        """Return the next thing as JSON."""
        return json.loads(await self.hear())

    def close(self) -> None:
        """Hang up."""
        self.ours.close()
        self.theirs.close()


@contextlib.contextmanager
def lines(count: int) -> Any:
    """Give some lines, and close what is left of them."""
    made = [Line() for _ in range(count)]
    try:
        yield made
    finally:
        for line in made:
            line.close()


def ask_for_shim(channel: socket.socket, fd: int, **args: Any) -> None:
    """Ask on a lent channel for a shim, as a worker does."""
    socket.send_fds(channel, [packets.encode({"do": "shim", "args": args})], [fd])
