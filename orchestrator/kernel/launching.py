"""Ask the launcher for children, and learn how they end.

The asynchronous side of `launcher.py`, which has the messages. It knows no program: what is started
and why is its caller's business. A child is named by the number of the request that started it, so
a signal goes through the launcher, its parent, and can never reach a stranger that has its pid.

Nobody waits for a launcher for ever. One that owes an answer is asked whether it listens, woken if
somebody stopped it, and killed if that is no use: then its end is what everybody learns.
"""

import contextlib
import itertools
import logging
import signal
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

import anyio
from anyio.abc import TaskGroup

from orchestrator.kernel import logs, packets
from orchestrator.kernel.errors import LauncherGone, LaunchFailed
from orchestrator.kernel.launcher import SHIM_NAME
from orchestrator.kernel.launcher_process import LauncherProcess
from orchestrator.kernel.packets import Message

LOGGER: Final = logging.getLogger(__name__)
NURSERY = "orchestrator.kernel.launcher:nursery"
_ANSWER_S = 3.0
"""A fork and an answer are milliseconds; a machine in great trouble gets this long."""
_FAREWELL_S = 2.0
"""A nursery has nothing to do when its control socket closes but to exit."""


@dataclass(frozen=True, slots=True)
class Exit:
    """How a child ended: by itself with a code, by a signal, or, with neither, unseen."""

    code: int | None = None
    signal: int | None = None


class Child:
    """A process that a launcher started for us."""

    def __init__(self, launcher: "Launcher", number: int, pid: int) -> None:
        self.pid = pid
        self.launcher = launcher
        self._number = number
        self._ended = anyio.Event()
        self._exit = Exit()

    async def wait(self) -> Exit:
        """Return how it ended, once it has, and once nothing that it left behind is alive.

        When its launcher is gone nobody will ever know, and the exit says so.
        """
        await self._ended.wait()
        return self._exit

    async def overdue(self) -> None:
        """Insist: it must have ended, and if its launcher does not tell so, that is at fault."""
        with anyio.move_on_after(_ANSWER_S):
            await self.wait()
        if not self._ended.is_set():
            await self.launcher.rouse()

    async def signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if not self._ended.is_set():
            await self.launcher.signal(self._number, number)

    def end(self, how: Exit) -> None:
        """Note that it has ended: called by the launcher's listener alone."""
        self._exit = how
        self._ended.set()


class _Reply:
    """An answer that is waited for."""

    def __init__(self) -> None:
        self.arrived = anyio.Event()
        self.message: Message | None = None
        self.child: Child | None = None


class Launcher:
    """A launcher or a nursery: starts children, and listens to what becomes of them."""

    def __init__(
        self, control: socket.socket, group: TaskGroup, process: "Child | LauncherProcess"
    ) -> None:
        control.setblocking(False)
        self._control = control
        self._group = group
        self._process = process
        self._rousing = anyio.Lock()
        self.was_killed = False
        """Whether it did not listen, and was killed for that."""
        self._numbers = itertools.count(1)
        self._replies: dict[int, _Reply] = {}
        self._children: dict[int, Child] = {}
        self._nurseries: list[Launcher] = []
        self._gone = anyio.Event()

    @classmethod
    @contextlib.asynccontextmanager
    async def over(cls, process: LauncherProcess) -> AsyncIterator[Self]:
        """Speak to a launcher for the length of a block; at its end the launcher ends too."""
        async with anyio.create_task_group() as group:
            launcher = cls(process.control, group, process)
            group.start_soon(launcher._listen)
            try:
                yield launcher
            finally:
                with anyio.CancelScope(shield=True):
                    await launcher._dismiss()
                launcher.close()
                if process.close():
                    launcher._note_kill()
                group.cancel_scope.cancel()

    @property
    def is_gone(self) -> bool:
        """Tell whether the process on the other side has ended."""
        return self._gone.is_set()

    async def gone(self) -> None:
        """Wait until the process on the other side has ended."""
        await self._gone.wait()

    async def spawn(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        fds: Sequence[int] = (),
    ) -> Child:
        """Start a program; `fds` become 3, 4, … there and stay ours to close.

        Without `env` it gets the launcher's environment, and without `cwd` the root folder.
        """
        request = {
            "do": "spawn",
            "argv": list(argv),
            "env": None if env is None else dict(env),
            "cwd": cwd,
        }
        return await self._start(request, fds)

    async def fork(
        self,
        entry: str,
        args: Mapping[str, object],
        *,
        fds: Sequence[int] = (),
        name: str = "orch-child",
    ) -> Child:
        """Call `entry` (`package.module:function`) in a forked child, with `args` and `fds`."""
        return await self._start(
            {"do": "fork", "entry": entry, "args": dict(args), "name": name}, fds
        )

    async def nursery(self, preload: Sequence[str]) -> "Launcher":
        """Start a second launcher that has imported `preload`, and return it when it has."""
        ours, theirs = packets.pair()
        with theirs:
            process = await self.fork(NURSERY, {}, fds=[theirs.fileno()], name="orch-nursery")
        nursery = Launcher(ours, self._group, process)
        self._nurseries.append(nursery)
        self._group.start_soon(nursery._listen)
        try:
            await nursery._ask({"do": "preload", "modules": list(preload)})
        except BaseException:
            nursery.close()
            raise
        return nursery

    async def lend(self, channel: int, entry: str, *, name: str = SHIM_NAME) -> None:
        """Let whoever holds the other end of `channel` fork `entry`, and nothing else."""
        request: Message = {"do": "lend", "entry": entry, "name": name}
        await self._ask(request, [channel], patience_s=_ANSWER_S)

    async def signal(self, child: int, number: int) -> None:
        """Signal the child that was started by that request; use `Child.signal`."""
        with contextlib.suppress(LauncherGone):
            await self._send({"do": "signal", "child": child, "signal": number})

    async def rouse(self) -> None:
        """Return when the other side listens, or has ended because it did not."""
        if isinstance(self._process, Child):
            await self._process.launcher.rouse()
        async with self._rousing:
            if await self._listens():
                return
            logs.event(
                LOGGER,
                logging.WARNING,
                "launcher.stalled",
                pid=self._process.pid,
                why="it did not answer; it is continued in case it was stopped",
            )
            await self.prod(signal.SIGCONT)
            if await self._listens():
                return
            self._note_kill()
            await self.prod(signal.SIGKILL)
            with anyio.move_on_after(_FAREWELL_S):
                await self.gone()

    async def _listens(self) -> bool:
        """Tell whether it answers soon, or has ended and owes nobody an answer."""
        with anyio.move_on_after(_ANSWER_S), contextlib.suppress(LauncherGone):
            await self._ask({"do": "ping"})
            return True
        return self.is_gone

    def _note_kill(self) -> None:
        self.was_killed = True
        logs.event(
            LOGGER,
            logging.ERROR,
            "launcher.killed",
            pid=self._process.pid,
            why="it did not answer and could not be woken; commands go on in their shims",
        )

    async def prod(self, number: int) -> None:
        """Signal the process on the other side itself."""
        if isinstance(self._process, Child):
            await self._process.signal(number)
        else:
            self._process.signal(number)

    def close(self) -> None:
        """Hang up: the process on the other side ends, and whoever it forked with it."""
        if self._control.fileno() >= 0:
            anyio.notify_closing(self._control)
            self._control.close()

    async def _dismiss(self) -> None:
        """End the nurseries, last one first, and wait until they are gone."""
        for nursery in reversed(self._nurseries):
            nursery.close()
            for number in (0, signal.SIGCONT, signal.SIGKILL):
                if number and not nursery.is_gone:
                    await self.rouse()
                    await nursery.prod(number)
                with anyio.move_on_after(_FAREWELL_S):
                    await nursery.gone()

    async def _start(self, request: Message, fds: Sequence[int]) -> Child:
        # Seen through to its answer: a child that was asked for must not end up nobody's.
        with anyio.CancelScope(shield=True):
            reply = await self._ask(request, fds, patience_s=_ANSWER_S)
        if reply.child is None:
            raise LauncherGone("the launcher answered, but not with a child")
        return reply.child

    async def _ask(
        self, request: Message, fds: Sequence[int] = (), *, patience_s: float | None = None
    ) -> _Reply:
        number = next(self._numbers)
        reply = self._replies[number] = _Reply()
        try:
            await self._send({**request, "id": number}, fds)
            if patience_s is not None:
                with anyio.move_on_after(patience_s):
                    await reply.arrived.wait()
                if not reply.arrived.is_set():
                    await self.rouse()
            await reply.arrived.wait()
        finally:
            self._replies.pop(number, None)
        if reply.message is None:
            raise LauncherGone("the launcher has ended")
        if reply.message["event"] == "failed":
            raise LaunchFailed(str(reply.message["message"]))
        return reply

    async def _send(self, request: Message, fds: Sequence[int] = ()) -> None:
        data = packets.encode(request)
        while not self.is_gone:
            try:
                socket.send_fds(self._control, [data], list(fds))
            except BlockingIOError:
                with contextlib.suppress(anyio.ClosedResourceError):
                    await anyio.wait_writable(self._control)
            except OSError:
                break
            else:
                return
        raise LauncherGone("the launcher has ended")

    async def _listen(self) -> None:
        """Hand on what the launcher says, until it has ended."""
        try:
            while (message := await self._receive()) is not None:
                self._hear(message)
            if isinstance(self._process, Child):
                # Its parent has killed what it left behind before it tells of its end, so nobody
                # hears that a child is gone while it may still hold a lock.
                await self._process.wait()
        finally:
            self._lose()

    async def _receive(self) -> Message | None:
        while self._control.fileno() >= 0:
            try:
                received = packets.receive(self._control)
            except BlockingIOError:
                with contextlib.suppress(anyio.ClosedResourceError):
                    await anyio.wait_readable(self._control)
            else:
                return None if received is None else received[0]
        return None

    def _hear(self, message: Message) -> None:
        number = message["id"]
        if message["event"] == "exited":
            child = self._children.pop(number)
            child.end(Exit(message["code"], message["signal"]))
            return
        reply = self._replies.get(number)
        if message["event"] == "started":
            # Before anybody is woken: the next message may be its end.
            self._children[number] = Child(self, number, message["pid"])
        if reply is not None:
            reply.message, reply.child = message, self._children.get(number)
            reply.arrived.set()

    def _lose(self) -> None:
        """Nobody will ever answer: say so to all who wait."""
        self._gone.set()
        for reply in list(self._replies.values()):
            reply.arrived.set()
        for child in list(self._children.values()):
            child.end(Exit())
        self._children.clear()
        self.close()
