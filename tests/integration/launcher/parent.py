"""A program as `orchestrator run` is one: a launcher, a server, a worker in a nursery, a shim.

It prints the pids of all of them and waits to be killed.
"""

import json
import os
import sys

import anyio

from orchestrator.kernel import launcher as launcher_process
from orchestrator.kernel import packets
from orchestrator.kernel.launcher_process import LauncherProcess
from orchestrator.kernel.launching import Launcher
from tests.integration.launcher.launched import HERE, Line, ask_for_shim

SERVER = "import socket; socket.socket(fileno=3).recv(100)"


async def _run(gate: str, record: str, process: LauncherProcess) -> None:
    lifelines = [Line(), Line(), Line()]
    async with Launcher.over(process) as launcher:
        nursery = await launcher.nursery([])
        server = await launcher.spawn([sys.executable, "-c", SERVER], fds=[lifelines[0].fd])
        worker = await nursery.fork(f"{HERE}:last", {}, fds=[lifelines[1].fd])
        ours, theirs = packets.pair()
        await launcher.lend(theirs.fileno(), f"{HERE}:outlive")
        ask_for_shim(ours, lifelines[2].fd, gate=gate, record=record)
        for line in lifelines:
            line.passed()
        pids = {
            "launcher": process.pid,
            "nursery": nursery._process.pid,
            "server": server.pid,
            "worker": worker.pid,
            "shim": await lifelines[2].hear_number(),
        }
        sys.stdout.write(json.dumps(pids) + "\n")
        sys.stdout.flush()
        await anyio.sleep_forever()


if __name__ == "__main__":
    os.umask(0o077)
    anyio.run(_run, sys.argv[1], sys.argv[2], launcher_process.start())
