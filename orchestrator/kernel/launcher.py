"""The launcher: the one process that forks, so that nothing else ever has to.

It is forked from the program before any thread, event loop or big import exists, stays that small,
and starts children on request. It knows no job and no worker and decides nothing: it does what its
control socket says, and ends when that closes. Standard library only.

Two things only such a process can do. It is the sub-reaper of all that it started: what loses its
parent becomes its child, and since nobody else would, it kills it. And its children get exactly the
descriptors that were passed for them: none of another child's, and none of ours.

Requests, as packets (`+ fds`: descriptors come along):

    spawn    id argv env? cwd? + fds     exec a program; the fds become 3, 4, …
    fork     id entry args name? + fds   call `entry(args, fds)` in a forked child
    preload  id modules                  import what later forks need; call a `module:function`
    signal   child signal                signal the child that was started under the id `child`
    lend     id entry name? + 1 fd       fork `entry` for whoever sends `shim args + fds` there
    ping     id                          say that you listen

Answers: `started id pid`, `preloaded id`, `lent id`, `pong id`, `failed id message`, and for what
was started `exited id pid code signal`. A lent channel answers nothing: a shim speaks for itself.
Where there are control groups, each shim is told of one of its own, in `cgroup`: it enters it, and
whoever is in it when the shim ends is killed.
"""

import collections
import contextlib
import contextvars
import gc
import importlib
import os
import select
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple, NoReturn

from orchestrator.kernel import linux, packets
from orchestrator.kernel.brood import FIRST_FD, SIGNALS, Brood, Ended, spawn
from orchestrator.kernel.cgroups import Cgroup, Groups
from orchestrator.kernel.errors import PeerBroken, invariant
from orchestrator.kernel.failpoints import reached
from orchestrator.kernel.launcher_process import LauncherProcess
from orchestrator.kernel.packets import Message

Entry = Callable[[Message, list[int]], int | None]

SHIM_NAME: Final = "orch-shim"
_INTERNAL_FAULT: Final = 70
_STRAY_CHECK_MS: Final = 5_000
"""An orphan whose dead parent was not our child arrives without a signal: look now and then."""
_KILLED_CHECK_MS: Final = 10
_KILLED_CHECKS: Final = 100
"""A killed orphan is gone in milliseconds. One that is not (it waits for a dead disk) may delay the
news of an exit for a second, not for ever."""
_IGNORED: Final = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
)
"""Whoever signals a whole group (a service manager to stop it, somebody who wants to see stacks)
must not take the launcher from under its children: it ends with its control socket, and by nothing
else."""
_PYTHON_IGNORES: Final = frozenset({signal.SIGPIPE, signal.SIGXFSZ})


class Work(NamedTuple):
    """What a child is forked for."""

    entry: str
    args: Message
    fds: list[int]
    name: str


class Channel(NamedTuple):
    """A socket by which a worker asks for shims."""

    socket: socket.socket
    entry: str
    name: str


def start(preload: Sequence[str] = ()) -> LauncherProcess:
    """Fork the launcher. Call it first: a lock that a thread holds now would stay locked in there.

    The launcher has a session of its own, so the terminal's Ctrl-C reaches only the caller.
    """
    invariant(threading.active_count() == 1, "the launcher is forked before any thread starts")
    ours, theirs = packets.pair()
    sys.stdout.flush()
    sys.stderr.flush()
    # Until it has a session of its own, a Ctrl-C is for the launcher too: it must not die of it.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _IGNORED)
    pid = os.fork()
    if pid == 0:
        # An empty context, so that nothing that is bound in the parent (an event loop's marks, keys
        # of its log) is found in any child.
        _end_with(lambda: contextvars.Context().run(_become_launcher, theirs, preload))
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    theirs.close()
    return LauncherProcess(pid, ours)


def _become_launcher(control: socket.socket, preload: Sequence[str]) -> int:
    """Cut all ties to the parent but one, and serve."""
    # Objects of the parent that own descriptors must never be collected here: they would close a
    # number that is somebody else's by then.
    gc.freeze()
    _keep_only({control.fileno()})
    os.setsid()
    os.chdir("/")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.close(nothing)
    linux.set_name("orch-launcher")
    for module in preload:
        importlib.import_module(module)
    return serve(control)


def nursery(_args: Message, fds: list[int]) -> int:
    """Be a second launcher, which imports a program's code once and forks it many times."""
    [control] = fds
    # What its children are told passes through here, and the environment of jobs is among it.
    linux.hide_memory()
    return serve(socket.socket(fileno=control))


def serve(control: socket.socket) -> int:
    """Do what `control` says until it closes; in a child forked meanwhile, do the child's work."""
    work = _Loop(control).run()
    if work is None:
        return 0
    linux.set_name(work.name)
    return _entry(work.entry)(work.args, work.fds) or 0


class _Loop:
    """One thread, one poll: requests in, children's ends out."""

    def __init__(self, control: socket.socket) -> None:
        control.setblocking(False)
        control.set_inheritable(False)
        self._control = control
        self._channels: dict[int, Channel] = {}
        self._brood = Brood()
        self._groups: Groups | None = None
        self._ended: list[Ended] = []
        self._checks = 0
        self._outbox: collections.deque[bytes] = collections.deque()
        self._poll = select.poll()

    def run(self) -> Work | None:
        """Return nothing when the control socket has closed, and its work in a forked child."""
        linux.become_subreaper()
        bell, ringer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        _prepare_signals(ringer)
        self._poll.register(bell, select.POLLIN)
        while True:
            self._poll.register(
                self._control, select.POLLIN | (select.POLLOUT if self._outbox else 0)
            )
            for ready, _ in self._poll.poll(self._patience_ms()):
                if ready == bell:
                    _silence(bell)
                elif ready == self._control.fileno():
                    over, work = self._serve_control()
                    if over:
                        return work
                elif work := self._serve_channel(ready):
                    return work
            self._look_after_children()
            self._send()

    def _patience_ms(self) -> int:
        if self._checks:
            return _KILLED_CHECK_MS
        return _STRAY_CHECK_MS if self._brood else -1

    def _serve_control(self) -> tuple[bool, Work | None]:
        """Take one request; tell whether this process's loop is over, and what to do then."""
        try:
            received = packets.receive(self._control)
        except BlockingIOError:
            return False, None
        if received is None:
            return True, None
        request, fds = received
        try:
            work = self._perform(request, fds)
        except (OSError, ImportError, AttributeError, TypeError, ValueError) as error:
            self._say("failed", request, message=_sentence(error, request))
            work = None
        # Outside of the try: what goes wrong in a forked child must end it, not be answered by it.
        if work is not None and self._fork(work, request):
            return True, work
        packets.close(fds)
        return False, None

    def _perform(self, request: Message, fds: list[int]) -> Work | None:
        """Do what can be done in this process; return what needs a forked one."""
        match request["do"]:
            case "spawn":
                pid = spawn(request["argv"], request.get("env"), request.get("cwd"), fds)
                self._brood.add(pid, request["id"])
                self._say("started", request, pid=pid)
            case "fork":
                _entry(request["entry"])  # one that is missing is refused here, not in the child
                name = request.get("name") or "orch-child"
                return Work(request["entry"], request["args"], fds, name)
            case "preload":
                for wanted in request["modules"]:
                    module, _, function = wanted.partition(":")
                    loaded = importlib.import_module(module)
                    if function:
                        getattr(loaded, function)()
                # What all children share must not be copied because a collector marks it.
                gc.collect()
                gc.freeze()
                self._say("preloaded", request)
            case "signal":
                self._brood.signal(request["child"], request["signal"])
            case "lend":
                self._lend(request, fds)
            case "ping":
                self._say("pong", request)
            case unknown:
                raise ValueError(f"unknown request {unknown!r}")
        return None

    def _lend(self, request: Message, fds: list[int]) -> None:
        _entry(request["entry"])  # imported now, so that each shim is only a fork
        [fd] = fds
        # A descriptor of its own, because the caller closes those of a request.
        lent = socket.socket(fileno=os.dup(fd))
        lent.setblocking(False)
        if not self._channels and (groups := Groups.here()) is not None:
            groups.remove_leftovers()
            self._groups = groups
        name = request.get("name") or SHIM_NAME
        self._channels[lent.fileno()] = Channel(lent, request["entry"], name)
        self._poll.register(lent, select.POLLIN)
        self._say("lent", request)

    def _serve_channel(self, ready: int) -> Work | None:
        """Fork a shim for a worker; return its work in the child."""
        channel = self._channels[ready]
        try:
            received = packets.receive(channel.socket)
        except BlockingIOError:
            return None
        except PeerBroken:
            received = None  # a worker that speaks nonsense loses its channel, nobody else does
        if received is None:
            self._poll.unregister(channel.socket)
            self._channels.pop(ready).socket.close()
            return None
        request, fds = received
        if request.get("do") == "shim":
            group = None if self._groups is None else self._groups.make()
            # Empty: there are groups, but none could be made just now.
            path = None if self._groups is None else "" if group is None else str(group.path)
            args = {**request.get("args", {}), "cgroup": path}
            work = Work(channel.entry, args, fds, channel.name)
            if self._fork(work, None, group):
                return work
        packets.close(fds)
        return None

    def _fork(self, work: Work, request: Message | None, group: Cgroup | None = None) -> bool:
        """Fork, and tell whether this is the child.

        Nothing is answered for a shim. When there is no room for another process, closing its
        descriptors is the answer: the worker reads an end.
        """
        try:
            reached("launcher.before_fork")
            pid = os.fork()
        except OSError as error:
            if request is not None:
                self._say("failed", request, message=_sentence(error, request))
            if group is not None:
                group.remove()
            return False
        if pid == 0:
            if request is not None:
                os.setsid()  # a shim does that itself
            self._forget_all_but(work.fds)
            return True
        reached("launcher.forked")
        self._brood.add(pid, None if request is None else request["id"], group)
        if request is not None:
            self._say("started", request, pid=pid)
        return False

    def _forget_all_but(self, kept: list[int]) -> None:
        """Become a process of its own: without the launcher's sockets, signals and descriptors."""
        signal.set_wakeup_fd(-1)
        for number in SIGNALS - _PYTHON_IGNORES:
            signal.signal(number, signal.SIG_DFL)
        self._control.close()
        for channel in self._channels.values():
            channel.socket.close()
        _keep_only(set(kept))

    def _look_after_children(self) -> None:
        """Reap who ended, kill who was orphaned, and tell of an end when its orphans are gone.

        In this order, because who hears that a worker has ended starts the next one, which must not
        meet processes of the last.
        """
        self._ended += self._brood.reap()
        orphans = self._brood.kill_orphans()
        self._checks = self._checks + 1 if orphans else 0
        if not orphans or self._checks > _KILLED_CHECKS:
            for ended in self._ended:
                reached("launcher.reaped")
                news = {"pid": ended.pid, "code": ended.code, "signal": ended.signal}
                self._say("exited", {"id": ended.number}, **news)
            self._ended.clear()
            self._checks = 0

    def _say(self, event: str, request: Message, **more: object) -> None:
        self._outbox.append(packets.encode({"event": event, "id": request.get("id"), **more}))

    def _send(self) -> None:
        """Send what fits. A reader that was stopped must not stop the shims of its workers."""
        with contextlib.suppress(BlockingIOError, ConnectionError):
            while self._outbox:
                self._control.send(self._outbox[0])
                self._outbox.popleft()


def _prepare_signals(ringer: int) -> None:
    """Wake the loop when a child ends; ignore what would end the launcher too early."""
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    signal.set_wakeup_fd(ringer, warn_on_full_buffer=False)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _silence(bell: int) -> None:
    with contextlib.suppress(BlockingIOError):
        os.read(bell, 4096)


def _sentence(error: Exception, request: Message) -> str:
    """Return what went wrong, with what and how, for a person to read."""
    match request.get("do"):
        case "spawn" if isinstance(error, OSError):
            return f"cannot start {request['argv'][0]}: {error.strerror} ({error.filename})"
        case "fork" | "lend" | "preload" if isinstance(error, (ImportError, AttributeError)):
            return f"cannot load {request.get('entry') or request.get('modules')}: {error}"
        case what:
            return f"cannot {what}: {error}"


def _entry(name: str) -> Entry:
    """Return the function that `package.module:function` names, importing its module."""
    module, _, function = name.partition(":")
    found: Entry = getattr(importlib.import_module(module), function)
    return found


def _keep_only(kept: set[int]) -> None:
    """Close every descriptor above 2 but these."""
    folder = Path("/proc/self/fd" if sys.platform == "linux" else "/dev/fd")
    for fd in [int(entry.name) for entry in folder.iterdir()]:
        if fd >= FIRST_FD and fd not in kept:
            with contextlib.suppress(OSError):  # the one that listed the folder is gone already
                os.close(fd)


def _end_with(main: Callable[[], int]) -> NoReturn:
    """Run a forked process to its end, and never return into its parent's code."""
    code = _INTERNAL_FAULT
    try:
        code = main()
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BaseException:  # noqa: BLE001 - whatever it was, the parent's code must not run twice
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
