"""What a neighbour can do, each for the length of a block, and how one knows that it happened.

A figure about a trouble that never came would be worth nothing, so each one ends by looking for its
trace, and the run fails without it.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from benchmarks.house import Unusable
from benchmarks.load import Client, Connection
from benchmarks.machines import NEIGHBOUR, Ground, wait_for
from orchestrator.kernel.errors import OrchestratorError
from orchestrator.protocol.machine import RestartRequest
from orchestrator.protocol.tokens import make_token

Trouble = Callable[[Ground], AbstractAsyncContextManager[None]]
PAUSE_S: Final = 0.1
CRASHES: Final = 3
FLOOD: Final = ("yes 'a line of thirty bytes, more or less'", "yes on standard error >&2")
FAILING_EACH_S: Final = 0.05
GOOD: Final = frozenset({"ready", "busy"})


@contextlib.asynccontextmanager
async def nothing(ground: Ground) -> AsyncIterator[None]:
    """Let it be idle."""
    del ground
    yield


@contextlib.asynccontextmanager
async def crashes(ground: Ground) -> AsyncIterator[None]:
    """Kill it as often as it comes up, and start it again without any pause."""
    killed: list[int] = []

    async def kill() -> None:
        while True:
            pid = ground.machine.pid_of(NEIGHBOUR)
            if pid is not None and pid not in killed:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                killed.append(pid)
            with contextlib.suppress(OrchestratorError):
                ground.machine.control.post(f"/v1/workers/{NEIGHBOUR}:restart", RestartRequest())
            await asyncio.sleep(PAUSE_S)

    async with _beside(kill()):
        yield
    _seen(len(killed) >= CRASHES, f"it crashed only {len(killed)} times")


@contextlib.asynccontextmanager
async def hangs(ground: Ground) -> AsyncIterator[None]:
    """Stop its process; when that is replaced, stop the next one."""
    stopped: list[int] = []

    async def stop() -> None:
        while True:
            pid = ground.machine.pid_of(NEIGHBOUR)
            if pid is not None and pid not in stopped:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)
                stopped.append(pid)
            await asyncio.sleep(PAUSE_S)

    async with _beside(stop()):
        yield
    _seen(bool(stopped), "nothing was stopped")
    with contextlib.suppress(ProcessLookupError):
        os.kill(stopped[-1], signal.SIGCONT)


@contextlib.asynccontextmanager
async def floods(ground: Ground) -> AsyncIterator[None]:
    """Write as much as a pipe takes, on both streams, and fill its log with jobs that fail."""
    failing = _job("exit 1", "fails")

    async def fail() -> None:
        connection = await Connection.open(ground.client.port)
        try:
            while True:
                await connection.call(ground.client.post("/api/v1/jobs", failing))
                await asyncio.sleep(FAILING_EACH_S)
        finally:
            connection.close()

    async with _jobs(ground.client, *FLOOD), _beside(fail()):
        yield


@contextlib.asynccontextmanager
async def is_refused(ground: Ground) -> AsyncIterator[None]:
    """Give it a secret that its server does not know."""
    machine, before = ground.machine, ground.machine.entries
    ids = ground.neighbour["token"].rpartition(":")[0]
    quiet = next(entry for entry in before if entry["name"] != NEIGHBOUR)
    wrong = f"{ids}:{make_token('secret', bytes(32))}"
    machine.save(quiet, ground.neighbour | {"token": wrong})
    wait_for(lambda: machine.state_of(NEIGHBOUR) not in GOOD, "the token was refused")
    try:
        yield
        _seen(machine.state_of(NEIGHBOUR) not in GOOD, "it worked with a wrong token")
    finally:
        machine.save(*before)


@contextlib.asynccontextmanager
async def has_no_directory(ground: Ground) -> AsyncIterator[None]:
    """Take its working directory away, and have it begin anew."""
    directory, machine = Path(ground.neighbour["working_directory"]), ground.machine
    directory.rmdir()
    machine.control.post(f"/v1/workers/{NEIGHBOUR}:restart", RestartRequest())
    wait_for(lambda: machine.state_of(NEIGHBOUR) not in GOOD, "the directory was missed")
    try:
        yield
        _seen(machine.state_of(NEIGHBOUR) not in GOOD, "it worked without its directory")
    finally:
        directory.mkdir()


@contextlib.asynccontextmanager
async def eats_processors(ground: Ground) -> AsyncIterator[None]:
    """Run an endless loop for each processor."""
    count = len(os.sched_getaffinity(0))
    async with _jobs(ground.client, *["while :; do :; done"] * count):
        yield


TROUBLES: Final = MappingProxyType[str, Trouble](
    {
        "crashes again and again": crashes,
        "hangs": hangs,
        "floods its output and its log": floods,
        "has a token that is refused": is_refused,
        "has no directory": has_no_directory,
        "eats every processor": eats_processors,
    }
)


def _seen(happened: bool, otherwise: str) -> None:
    if not happened:
        raise Unusable(f"the trouble never came: {otherwise}")


@contextlib.asynccontextmanager
async def _beside(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Do something else meanwhile; what goes wrong there goes wrong here."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        if not task.done():
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _job(script: str, name: str) -> dict[str, Any]:
    return {
        "kind": "command",
        "params": {"script": script, "shell": True},
        "name": name,
        "requires": {"tags": [NEIGHBOUR]},
    }


@contextlib.asynccontextmanager
async def _jobs(client: Client, *scripts: str) -> AsyncIterator[None]:
    """Have the neighbour run these scripts, which end by a cancel alone."""
    requests = [client.post("/api/v1/jobs", _job(script, "endless")) for script in scripts]
    await client.call_all(requests, connections=1)
    path = "/api/v1/jobs?name=endless&state=running"
    while len(running := (await client.json(path))["items"]) < len(scripts):
        await asyncio.sleep(PAUSE_S)
    try:
        yield
        left = (await client.json(path))["items"]
        _seen(len(left) == len(scripts), f"only {len(left)} jobs of {len(scripts)} still ran")
    finally:
        cancels = [client.post(f"/api/v1/jobs/{one['id']}/cancel", {}) for one in running]
        await client.call_all(cancels, connections=1)
        while (await client.json(path))["items"]:
            await asyncio.sleep(PAUSE_S)
