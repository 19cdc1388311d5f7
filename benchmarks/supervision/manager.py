"""What every manager of many programs is asked to do, so that all are measured alike.

*Started* is the moment at which the kernel shows another child of whoever starts the programs;
*ready* is the moment at which the program itself says that it is there.
"""

import contextlib
import os
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.house import Unusable, stop
from benchmarks.supervision import tree

READY_S: Final = 90.0
CHANGE_S: Final = 30.0
_LOOK_S: Final = 0.5


@dataclass(frozen=True)
class Took:
    """How long a change took, in milliseconds, from the moment at which it was asked for."""

    started: float | None = None
    ready: float | None = None
    accepted: float | None = None
    """Until the manager had read and understood it."""


class Hello:
    """Where programs say that they are there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))

    def hear(self, deadline: float) -> tuple[float, list[str]]:
        """Return when the next one spoke, and its name, pid and word."""
        self._socket.settimeout(max(0.001, deadline - time.monotonic()))
        try:
            data = self._socket.recv(1024)
        except TimeoutError:
            raise Unusable("a program did not say in time that it is ready") from None
        return time.monotonic(), data.decode().split()

    def forget(self) -> None:
        """Forget what was said until now."""
        self._socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self._socket.recv(1024)

    def close(self) -> None:
        """Hear nothing more."""
        self._socket.close()


class Manager(ABC):
    """Something that keeps `count` programs running."""

    name: str
    healthy_s: float = 2.0
    """So long a program must have been ready for its first restart to be the quick one."""

    def __init__(self, folder: Path, count: int) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.count = count

    @abstractmethod
    def start(self) -> float:
        """Start it; return the seconds until all programs were ready."""

    @property
    @abstractmethod
    def root(self) -> int:
        """Return the process whose descendants all others are."""

    @abstractmethod
    def programs(self) -> list[int]:
        """Return the processes of the programs."""

    @abstractmethod
    def ready_again(self) -> float:
        """Return when the next program said that it is ready."""

    @abstractmethod
    def forget(self) -> None:
        """Forget who was ready until now."""

    @abstractmethod
    def ask_for_more(self) -> Took | None:
        """Ask for one program more; `None` where that is no change of what it keeps."""

    @abstractmethod
    def change_one(self) -> Took | None:
        """Change the settings of one program."""

    @abstractmethod
    def stop(self) -> None:
        """End it and all that it keeps."""

    def kill_one(self, pid: int) -> Took:
        """Kill a program, and return how long it took until there was another."""
        parent = tree.parent_of(pid)
        before = tree.children(parent)
        self.forget()
        begin = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        started = tree.new_child(parent, before, CHANGE_S)
        if started is None:
            raise Unusable(f"{self.name} started nothing in place of what was killed")
        return Took(started=ms(begin, started), ready=ms(begin, self.ready_again()))


class Foreign(Manager):
    """A manager of programs that are not ours: all of them are `program.py`."""

    def __init__(self, folder: Path, count: int) -> None:
        super().__init__(folder, count)
        self.hello = Hello(folder / "hello")
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def root(self) -> int:
        """Return the manager's own process."""
        if self.process is None:
            raise Unusable(f"{self.name} does not run")
        return self.process.pid

    def programs(self) -> list[int]:
        """Return its children."""
        return sorted(tree.children(self.root))

    def all_ready(self) -> float:
        """Return when the last of all programs said that it is there."""
        deadline, seen, at = time.monotonic() + READY_S, set[str](), 0.0
        while len(seen) < self.count:
            at, (name, *_) = self.hello.hear(deadline)
            seen.add(name)
        return at

    def ready_again(self) -> float:
        """Return when the next one said hello."""
        return self.hello.hear(time.monotonic() + CHANGE_S)[0]

    def forget(self) -> None:
        """Forget what was said until now."""
        self.hello.forget()

    def asked(self, command: list[str], *, env: dict[str, str] | None = None) -> Took:
        """Run a command that asks for a program, and return how long it took until that was up."""
        parent = self.root
        before = tree.children(parent)
        self.forget()
        begin = time.monotonic()
        with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL) as asking:
            started = tree.new_child(parent, before, CHANGE_S)
            ready = self.ready_again()
            asking.wait(CHANGE_S)
        return Took(started=None if started is None else ms(begin, started), ready=ms(begin, ready))

    def stop(self) -> None:
        """End the manager, which ends its programs."""
        if self.process is not None:
            left = tree.family(self.root) - {self.root}
            stop(self.process)
            see_off(left)
        self.hello.close()


def see_off(pids: set[int]) -> None:
    """Kill what a manager left behind, so that it disturbs nobody who is measured next."""
    deadline = time.monotonic() + _LOOK_S
    while time.monotonic() < deadline and any(Path(f"/proc/{pid}").exists() for pid in pids):
        time.sleep(tree.LOOK_S)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def ms(begin: float, end: float) -> float:
    """Return the milliseconds from one moment to another."""
    return (end - begin) * 1000
