"""A launcher, a spool and a pool of shims for the length of a block, and what came of a command."""

import contextlib
import itertools
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import psutil

from orchestrator.kernel import packets
from orchestrator.kernel.launcher_process import LauncherProcess
from orchestrator.protocol.frames import EMPTY_DIGEST, Frame, FrameType, chain, decode
from tests.support.processes import Family, clean_environment, open_descriptors, python
from tests.support.source import ROOT
from tests.support.waiting import until
from worker.capacity import SPOOL_MAX_BYTES, Capacity
from worker.pool import ShimOrder, ShimPool
from worker.records import Began, Exited, Record, Vanished, Wrote
from worker.spool import AttemptLog, Spool

SHIM = "worker.shim:main"
_LAUNCHER = (
    "import socket, sys\n"
    "exec(sys.argv[2])\n"
    "from orchestrator.kernel import launcher\n"
    "launcher.serve(socket.socket(fileno=int(sys.argv[1])))\n"
)


@contextlib.contextmanager
def launcher(*, cwd: Path = ROOT, first: str = "") -> Iterator[LauncherProcess]:
    """Give a launcher of its own, so that the tests' process need not fork.

    What it does `first` is true for all its shims.
    """
    ours, theirs = packets.pair()
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    with theirs:
        argv = [sys.executable, "-c", _LAUNCHER, str(theirs.fileno()), first]
        process = subprocess.Popen(
            argv, pass_fds=[theirs.fileno()], cwd=cwd, env=environment, start_new_session=True
        )
    try:
        yield LauncherProcess(process.pid, ours)
    finally:
        ours.close()
        process.wait(10)


@dataclass
class Workshop:
    """What a worker has for its shims."""

    spool: Spool
    pool: ShimPool
    launcher_pid: int

    async def run(self, *argv: str, **fields: Any) -> "Told":
        """Run a command and return all that its log says."""
        return await told(await self.start(*argv, **fields))

    async def start(self, *argv: str, **fields: Any) -> AttemptLog:
        """Start a command."""
        return await self.pool.start(order(*argv, **fields))

    @property
    def shims(self) -> list[psutil.Process]:
        """Return the shims that are alive."""
        return psutil.Process(self.launcher_pid).children()


@contextlib.asynccontextmanager
async def workshop(directory: Path, *, slots: int = 2, **limits: int) -> AsyncIterator[Workshop]:
    """Give a workshop; afterwards no process and no descriptor of it is left."""
    before = open_descriptors()
    with launcher() as process:
        family = Family(process.pid)
        async with opened(directory, process, slots=slots, **limits) as shop:
            yield shop
            family.look()
        # While there is a launcher to reap them: an orphan is reaped when init likes.
        parent = psutil.Process(process.pid)
        await come_true(lambda: not parent.children(), "every shim has ended")
    family.assert_gone()
    after = open_descriptors()
    assert len(after) == len(before), f"descriptors stay open: {before} {after}"


async def come_true(condition: Callable[[], bool], what: str | None = None) -> None:
    """Wait until a condition is true, while the loop goes on."""

    async def later() -> bool:
        return condition()

    await until(later, what=what)


async def passes(seconds: float) -> None:
    """Let a moment pass, where the moment itself is what is tested."""
    end = anyio.current_time() + seconds
    await come_true(lambda: anyio.current_time() >= end)


@contextlib.asynccontextmanager
async def opened(
    directory: Path, process: LauncherProcess, *, slots: int = 2, **limits: int
) -> AsyncIterator[Workshop]:
    """Open the spool in `directory` and a pool with that launcher, for the length of a block."""
    ours, theirs = packets.pair()
    with theirs:
        process.lend(theirs.fileno(), SHIM)
    spool = Spool(directory / "spool")
    pool = ShimPool(spool, ours, Capacity(slots, draw=lambda: 0.0), **limits)
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(spool.keep)
            group.start_soon(pool.keep)
            yield Workshop(spool, pool, process.pid)
            group.cancel_scope.cancel()
    finally:
        pool.close()
        spool.close()


# Nobody else's: see `FakeServer`.
_numbers = itertools.count(secrets.randbelow(10**15) * 1_000_000)


def order(*argv: str, **fields: Any) -> ShimOrder:
    """Return an order with every default; a test names only what matters to it."""
    defaults: dict[str, Any] = {
        "job_id": f"job_{next(_numbers):026}",
        "attempt": 1,
        "env": {"PATH": os.defpath},
        "cwd": "/",
        "grace_s": 5.0,
        "timeout_s": 60.0,
    }
    return ShimOrder(argv=argv or ("true",), **{**defaults, **fields})


@dataclass
class Told:
    """What the log of one attempt said, in the end."""

    records: list[Record] = field(default_factory=list)

    @property
    def end(self) -> Exited:
        """Return its exit record."""
        last = self.records[-1]
        assert isinstance(last, Exited), last
        return last

    @property
    def vanished(self) -> Vanished:
        """Return the word that its shim is gone."""
        last = self.records[-1]
        assert isinstance(last, Vanished), last
        return last

    @property
    def began(self) -> Began | None:
        """Return its beginning, if it began."""
        found = [record for record in self.records if isinstance(record, Began)]
        assert len(found) <= 1, found
        return found[0] if found else None

    @property
    def log(self) -> bytes:
        """Return its output log: encoded frames."""
        parts = [record for record in self.records if isinstance(record, Wrote)]
        place = parts[0].offset if parts else 0
        for part in parts:
            assert part.offset == place, "a gap in the output"
            place += len(part.frames)
        return b"".join(part.frames for part in parts)

    @property
    def frames(self) -> list[Frame]:
        """Return its output frames."""
        frames = list(decode(self.log))
        assert sum(frame.size for frame in frames) == len(self.log), "a frame was cut"
        return frames

    @property
    def out(self) -> bytes:
        """Return what it said on standard output."""
        return self._stream(FrameType.OUT)

    @property
    def err(self) -> bytes:
        """Return what it said on standard error."""
        return self._stream(FrameType.ERR)

    def _stream(self, frame_type: FrameType) -> bytes:
        return b"".join(frame.data for frame in self.frames if frame.type == frame_type)


async def told(log: AttemptLog) -> Told:
    """Read a log to its end; if it is whole, check length and digest against its output."""
    said = Told([record async for record in log.records()])
    last = said.records[-1]
    assert isinstance(last, Exited | Vanished)
    if log.places[0].log.length == 0:
        log_bytes, digest = said.log, EMPTY_DIGEST
        for frame in said.frames:
            digest = chain(digest, log_bytes[frame.end - frame.size : frame.end])
        assert (last.log.length, last.log.digest) == (len(log_bytes), digest)
        assert last.log.stdout_bytes >= len(said.out)
        assert last.log.stderr_bytes >= len(said.err)
    log.settle()
    return said


async def began(log: AttemptLog) -> int:
    """Return the pid of a command as soon as its log says that it runs."""
    async for record in log.records():
        if isinstance(record, Began):
            return record.pid
    raise AssertionError("it never began")


async def heard(log: AttemptLog, word: bytes) -> bytes:
    """Return what a running command has said, as soon as `word` is in it."""
    said = b""
    async for record in log.records():
        if isinstance(record, Wrote):
            said += b"".join(frame.data for frame in decode(record.frames))
            if word in said:
                return said
    raise AssertionError(f"it ended without saying {word!r}: {said!r}")


def started(module: str, *arguments: str, cwd: Path) -> "subprocess.Popen[bytes]":
    """Start one of the programs beside this file."""
    return subprocess.Popen(
        python("-m", f"tests.integration.shim.{module}", *arguments),
        cwd=cwd,
        env=clean_environment(PYTHONPATH=os.pathsep.join([str(ROOT), *sys.path])),
        stdout=subprocess.PIPE,
        start_new_session=True,
    )


def line_of(program: "subprocess.Popen[bytes]") -> list[int]:
    """Return the numbers in the next line that it prints."""
    assert program.stdout is not None
    return [int(word) for word in program.stdout.readline().split()]


def kill_all(program: "subprocess.Popen[bytes]", *pids: int) -> None:
    """Kill a program and others with it, in that order, and forget the program."""
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    program.kill()
    program.communicate()


def ask_for_shim(channel: socket.socket, spool: Path) -> socket.socket:
    """Return the line to a shim that no pool knows of."""
    ours, theirs = packets.pair()
    with theirs:
        request = packets.encode(
            {"do": "shim", "args": {"spool": str(spool), "spool_max_bytes": SPOOL_MAX_BYTES}}
        )
        socket.send_fds(channel, [request], [theirs.fileno()])
    return ours
