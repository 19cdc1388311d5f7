"""Processes: what is killed, frozen and counted; each has a pid of its machine.

A pid is small and used again. What a process is for is not known here: whoever starts one hangs
what it does on the loop.
"""

from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from tests.simulation.world.machine import Machine


class Killed(BaseException):
    """This process is dead, and does not go on."""


class OpenFile(Protocol):
    """What a descriptor stands for."""

    holders: int
    where: "list[tuple[Process, int]]"

    def readable(self) -> bool:
        """Tell whether a read would return at once."""
        ...

    def closed_by_last(self) -> None:
        """Hear that nobody has it open any more."""
        ...


class Process:
    """One process of one machine."""

    def __init__(self, machine: "Machine", name: str, pid: int, parent: "Process | None") -> None:
        self.machine = machine
        self.name = name
        self.pid = pid
        self.parent = parent
        self.born = machine.ticks()
        self.alive = True
        self.stopped = False
        self.began = machine.world.loop.now
        self.went_on = 0.0
        """When it was last let go on."""
        self.exit_code: int | None = None
        self.signal: int | None = None
        self.attempt: tuple[str, int] | None = None
        """Whose command it is, if it is one."""
        self.hunts: tuple[str, int] | None = None
        """Of which attempt it is about to kill what is left."""
        self.environment: bytes = b""
        self.files: dict[int, OpenFile] = {}
        self.context: Context = Context()
        self.tasks: dict[int, Any] = {}
        self.kept: list[Any] = []
        self.signals: Callable[[int], None] | None = None
        """Who hears signals that can be caught; without him they are deadly."""
        self.may_crash: Callable[[Exception], bool] = lambda _error: False
        """Who ends it for an error that its program does not catch; otherwise that is a bug."""
        self.watchers: list[Callable[[Process], None]] = []
        """Who is told of its end, in this order."""

    @property
    def is_frozen(self) -> bool:
        """Tell whether it, or its machine, is stopped."""
        return self.stopped or self.machine.frozen

    def open(self, file: OpenFile) -> int:
        """Give it a descriptor."""
        fd = self.machine.world.new_fd()
        file.holders += 1
        file.where.append((self, fd))
        self.files[fd] = file
        return fd

    def close(self, fd: int) -> None:
        """Take a descriptor away; `KeyError` if there is none."""
        file = self.files.pop(fd)
        file.holders -= 1
        file.where.remove((self, fd))
        if file.holders == 0:
            file.closed_by_last()

    def __repr__(self) -> str:
        return f"{self.machine.name}/{self.name}[{self.pid}]"
