"""The shims of one worker: as many as there are attempts at once, used again and again.

It knows shims and their sockets, and no job. An attempt is granted only to a shim that has said
*ready*, or has written the exit record of its last attempt: so whoever can hold a grant has a
visible, locked segment in the spool, and a worker that starts later finds it there.
"""

import contextlib
import errno
import json
import math
import os
import signal
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import anyio

from orchestrator.kernel import descriptors, packets
from orchestrator.kernel.bell import Bell
from orchestrator.kernel.errors import LauncherGone, LaunchFailed, invariant
from orchestrator.kernel.failpoints import reached
from orchestrator.protocol.limits import OUTPUT_CAP_BYTES
from worker.capacity import SPOOL_MAX_BYTES, Capacity
from worker.records import Cause
from worker.settings import JobLimits
from worker.shim import layout
from worker.spool.attempt_log import AttemptLog
from worker.spool.segment import Segment
from worker.spool.shims import OVERDUE_S
from worker.spool.spool import Spool
from worker.spool.tail import Place

_START_S: Final = 10.0
"""A shim is a fork and a file: milliseconds, unless the machine is in great trouble."""
_BELL_BYTES: Final = 1024
MARGIN: Final = 24
"""Descriptors that no new shim may take: the connections to the server, and a file here and there.
Without them a worker could not even say how what runs already has ended."""
LOOK_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class ShimOrder:
    """One attempt to run. `cwd` and `root` are absolute; `cwd` must turn out to lie in `root`."""

    job_id: str
    attempt: int
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str
    grace_s: float
    timeout_s: float | None = None
    silence_s: float | None = None
    root: str | None = None
    stdin: bytes | None = None
    """What the command reads; without it, nothing."""
    limits: JobLimits = JobLimits()
    durable: bool = False
    """Whether the grant must be on the disk itself before anything starts (`at_most_once`)."""


class PooledShim:
    """A shim of this worker's, which serves one attempt at a time."""

    def __init__(self, pool: "ShimPool", line: socket.socket, segment: Segment, pidfd: int) -> None:
        self._pool = pool
        self._line = line
        self._pidfd = pidfd
        self.segment = segment
        self.position = 0
        """Where its next attempt begins."""
        self._ended_bell = b""
        self._over = False
        self._kill_at = math.inf
        """When its attempt is over in any case. It is counted here too, because a job may stop its
        shim, which then counts nothing."""

    def grant(self, order: ShimOrder) -> None:
        """Hand over an attempt, or raise `ConnectionError` because the shim is gone."""
        self._over = False
        self._ended_bell = layout.ended_bell(order.job_id, order.attempt)
        message = _message(order, self._pool.spool_max_bytes)
        fds: list[int] = []
        try:
            if len(message) > layout.MESSAGE_BYTES:
                fds.append(_in_memory(message))
                message = b'{"large": true}'
            if order.stdin is not None:
                fds.append(_in_memory(order.stdin))
            socket.send_fds(self._line, [message], fds)
        finally:
            packets.close(fds)
        if order.timeout_s is not None:
            self._kill_at = anyio.current_time() + order.timeout_s + order.grace_s + OVERDUE_S

    async def more(self, *, news: bool) -> bool:  # noqa: ARG002 – it rings when there is some
        """Wait for a bell; `False` when the shim is gone, or wrote an end that cannot be read."""
        if self._over:
            return False
        await anyio.wait_readable(self._line)
        try:
            bell = self._line.recv(_BELL_BYTES)
        except BlockingIOError:
            return True
        except ConnectionError:
            return False
        self._over = bell == self._ended_bell
        return bool(bell)

    def cancel(self, cause: Cause, grace_s: float) -> None:
        """Tell the shim to end its attempt."""
        message = json.dumps({"cancel": cause, "grace_s": grace_s}).encode()
        self._kill_at = min(self._kill_at, anyio.current_time() + grace_s + OVERDUE_S)
        # Gone, which its log will tell; or it has not read hundreds of orders like this one.
        with contextlib.suppress(BlockingIOError, ConnectionError):
            self._line.send(message)
        self._signal(signal.SIGCONT)

    def look_after(self, now: float) -> None:
        """Have it go on if its job has stopped it, and end it if it lets its attempt go on.

        Whoever runs cannot be told from who was stopped without asking about each, and to be told
        to go on costs one that runs nothing.
        """
        self._signal(signal.SIGKILL if now >= self._kill_at else signal.SIGCONT)

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, number)

    def ended(self, segment: Segment, position: int) -> None:
        """Take the shim back: it waits for the next attempt."""
        self._kill_at = math.inf
        self.segment, self.position = segment, position
        self._pool.take_back(self)

    def lost(self) -> None:
        """Let go of it: nobody is there, or nobody who can be trusted."""
        self._pool.let_go(self)

    def close(self) -> None:
        """Hang up: the shim finishes what it does, and ends."""
        self._line.close()
        os.close(self._pidfd)


class ShimPool:
    """Idle shims, the last used first, and the way to get more."""

    def __init__(
        self,
        spool: Spool,
        channel: socket.socket,
        capacity: Capacity,
        *,
        spool_max_bytes: int = SPOOL_MAX_BYTES,
    ) -> None:
        channel.setblocking(False)
        self._spool = spool
        self._channel = channel
        self._capacity = capacity
        self.spool_max_bytes = spool_max_bytes
        """What a shim is told with each attempt: it may be another one than when that began."""
        self._shims: set[PooledShim] = set()
        self._idle: list[PooledShim] = []
        self._growing = anyio.Lock()
        self._grown = Bell()

    async def keep(self) -> None:
        """Look after the shims for ever; as long as there is none, nobody need wake up for it."""
        while True:
            await self._grown.until(lambda: bool(self._shims))
            await anyio.sleep(LOOK_S)
            now = anyio.current_time()
            for shim in self._shims.difference(self._idle):
                shim.look_after(now)
            while self._idle and len(self._shims) > self._capacity.slots:
                self._dismiss(self._idle.pop(0))

    async def reserve(self) -> PooledShim:
        """Return a shim that is kept for one attempt: it is granted to it, or taken back.

        `LaunchFailed` and `LauncherGone` mean that this machine can start nothing now.
        """
        if self._capacity.shortage is not None:
            # It was asked for before that was known.
            raise LaunchFailed(self._capacity.shortage.reason)
        return await self._any()

    async def _any(self) -> PooledShim:
        return self._idle.pop() if self._idle else await self._grow()

    async def start(self, order: ShimOrder, reserved: PooledShim | None = None) -> AttemptLog:
        """Grant an attempt and return its log, which must be read to its end.

        `LaunchFailed` and `LauncherGone` mean that nothing was started.
        """
        shim = reserved or await self.reserve()
        while True:
            try:
                reached("grant.before_send")
                shim.grant(order)
            except (ConnectionError, BlockingIOError):
                # It was killed, or stopped, while it was idle: it has nothing that could be lost.
                self._dismiss(shim)
                shim = await self._any()
                continue
            except OSError as error:
                self.take_back(shim)
                raise self._refused(
                    f"an attempt could not be handed to a shim: {error.strerror}"
                ) from error
            self._capacity.granted(self._at_work)
            key = (order.job_id, order.attempt)
            return AttemptLog(key, self._spool, shim, [Place(shim.segment, shim.position)])

    def take_back(self, shim: PooledShim) -> None:
        """Hear from a shim's last attempt that it is idle."""
        self._idle.append(shim)

    def let_go(self, shim: PooledShim) -> None:
        """Hang up on a shim that has gone, or that should.

        Its segment is the business of whoever read its log: in a long attempt the shim has left the
        one in which that began, and it may have been removed.
        """
        shim.close()
        self._shims.discard(shim)

    def _dismiss(self, shim: PooledShim) -> None:
        """Hang up on an idle shim; nothing in its segment is needed for it."""
        self.let_go(shim)
        self._spool.retire(shim.segment)

    def dismiss_idle(self) -> None:
        """Hang up on all that run nothing: nobody needs them any more."""
        while self._idle:
            self._dismiss(self._idle.pop())

    def kill(self) -> None:
        """End those at work at once, and with them what they run: nobody waits any longer."""
        for shim in self._shims.difference(self._idle):
            shim.look_after(math.inf)

    def close(self) -> None:
        """Hang up on all: the idle ones end, the others when their attempt has."""
        for shim in self._shims:
            shim.close()
        self._shims.clear()
        self._idle.clear()
        self._channel.close()

    async def _grow(self) -> PooledShim:
        async with self._growing:
            invariant(len(self._shims) < self._capacity.most, "no more attempts than slots")
            try:
                shim = await self._make()
            except OSError as error:
                what = f"there is no descriptor for another shim: {error.strerror}"
                raise self._refused(what) from error
            except LaunchFailed as error:
                self._capacity.refused(error, self._at_work)
                raise
            self._shims.add(shim)
            self._grown.ring()
            return shim

    @property
    def _at_work(self) -> int:
        return len(self._shims) - len(self._idle)

    def _refused(self, what: str) -> LaunchFailed:
        """Return the error for a want of descriptors, and have fewer attempts asked for."""
        hint = "raise the limit of open files, or give this worker fewer slots"
        failure = LaunchFailed(what, hint=hint)
        self._capacity.refused(failure, self._at_work)
        return failure

    async def _make(self) -> PooledShim:
        if descriptors.left() < MARGIN:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        ours, theirs = packets.pair()
        ours.setblocking(False)
        try:
            with theirs:
                await self._ask(theirs.fileno())
            segment = await self._hear(ours)
            pidfd = segment.writer()
            if pidfd is None:
                self._spool.retire(segment)
                raise LaunchFailed("a shim ended as soon as it was ready")
        except BaseException:
            ours.close()
            raise
        return PooledShim(self, ours, segment, pidfd)

    async def _ask(self, fd: int) -> None:
        args = {"spool": str(self._spool.directory), "spool_max_bytes": self.spool_max_bytes}
        request = packets.encode({"do": "shim", "args": args})
        while True:
            try:
                socket.send_fds(self._channel, [request], [fd])
            except BlockingIOError:
                await anyio.wait_writable(self._channel)
            except ConnectionError as error:
                raise LauncherGone(
                    "the launcher has ended, so no shim can be started",
                    hint="what runs goes on; whoever starts this worker again starts both",
                ) from error
            else:
                return

    async def _hear(self, line: socket.socket) -> Segment:
        """Return the segment of a new shim, once it is ready."""
        answer = None
        with anyio.move_on_after(_START_S):
            await anyio.wait_readable(line)
            answer = packets.receive(line)
        message = {} if answer is None else answer[0]
        segment = self._spool.find(message["ready"]) if "ready" in message else None
        if segment is None:
            log = self._spool.directory / layout.LOG_NAME
            raise LaunchFailed(
                str(message.get("failed", "a shim ended before it was ready")),
                hint=f"make room, or free processes and descriptors; its last words are in {log}",
            )
        self._capacity.note_unbound(unbound=message.get("unbound") is True)
        return segment


def _message(order: ShimOrder, spool_max_bytes: int) -> bytes:
    limits = order.limits
    return json.dumps(
        {
            "job": order.job_id,
            "attempt": order.attempt,
            "argv": order.argv,
            "env": dict(order.env),
            "cwd": order.cwd,
            "root": order.root,
            "timeout_s": order.timeout_s,
            "silence_s": order.silence_s,
            "grace_s": order.grace_s,
            "durable": order.durable,
            "spool_max_bytes": spool_max_bytes,
            "memory_bytes": limits.memory_bytes,
            "cpus": limits.cpus,
            "pids": limits.pids,
            "open_files": limits.open_files,
            "output_bytes": _less(limits.output_bytes),
            "nice": limits.nice,
        }
    ).encode()


def _less(output_bytes: int) -> int | None:
    """Return what a shim keeps, if the server would not cut as much itself."""
    return output_bytes if output_bytes < OUTPUT_CAP_BYTES else None


def _in_memory(data: bytes) -> int:
    """Return a descriptor from which `data` can be read, and which is nowhere on a disk."""
    fd = os.memfd_create("orchestrator", os.MFD_CLOEXEC)
    done = 0
    while done < len(data):
        done += os.pwrite(fd, data[done:], done)
    return fd
