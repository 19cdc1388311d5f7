"""What processes of one machine hear each other by: packet sockets, and pidfds."""

import signal
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Self

from tests.simulation.world.process import Process

if TYPE_CHECKING:
    from tests.simulation.world.world import World


class End:
    """One end of a pair of packet sockets, as the kernel has it."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.other: End | None = None
        self.where: list[tuple[Process, int]] = []
        self.holders = 0
        self.packets: deque[tuple[bytes, list[End]]] = deque()
        self.reset = False
        """The other side died with something unread: said once, before what it had sent."""
        self.open = True
        self.silent = False

    def readable(self) -> bool:
        """Tell whether there is a packet, or an end."""
        return bool(self.packets) or self.reset or self._has_ended

    def closed_by_last(self) -> None:
        """Hang up."""
        self.open = False
        if self.other is not None:
            self.other.reset = bool(self.packets)
            _wake(self.world, self.other)
        for _, ends in self.packets:
            for end in ends:
                end.holders -= 1
                if end.holders == 0:
                    end.closed_by_last()
        self.packets.clear()

    def send(self, data: bytes, ends: Iterable["End"] = ()) -> None:
        """Send a packet."""
        if self.other is None or not self.other.open:
            raise BrokenPipeError
        carried = list(ends)
        for end in carried:
            end.holders += 1
        self.other.packets.append((data, carried))
        _wake(self.world, self.other)

    def receive(self) -> tuple[bytes, list["End"]]:
        """Take a packet; an empty one at the end. Whose ends come with it has them now."""
        if self.reset:
            self.reset = False
            raise ConnectionResetError
        if self.packets:
            return self.packets.popleft()
        if self._has_ended:
            return b"", []
        raise BlockingIOError

    @property
    def _has_ended(self) -> bool:
        return self.other is None or not self.other.open or self.other.silent

    def shut(self) -> None:
        """Send nothing any more."""
        self.silent = True
        if self.other is not None:
            _wake(self.world, self.other)


def _wake(world: "World", file: Any) -> None:
    for process, fd in file.where:
        world.loop.wake_reader(process, fd)


def pair(world: "World") -> tuple[End, End]:
    """Return two connected ends."""
    one, other = End(world), End(world)
    one.other, other.other = other, one
    return one, other


class PidFd:
    """A descriptor that means one process for ever."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.where: list[tuple[Process, int]] = []
        self.holders = 0
        world = process.machine.world
        process.watchers.append(lambda _: _wake(world, self))

    def readable(self) -> bool:
        """Tell whether the process has ended."""
        return not self.process.alive

    def closed_by_last(self) -> None:
        """Do nothing."""

    def send_signal(self, number: int) -> None:
        """Signal the process."""
        if not self.process.alive:
            raise ProcessLookupError
        world = self.process.machine.world
        hunter = world.loop.current
        if hunter is not None and hunter.hunts and hunter.hunts != self.process.attempt:
            world.violated("I11", f"{self.process} is none of {hunter.hunts}, and is killed")
        self.process.machine.signal(self.process, signal.Signals(number))


class SimSocket:
    """A packet socket as a program sees it."""

    def __init__(self, process: Process, fd: int) -> None:
        self._process = process
        self._fd = fd

    @property
    def _end(self) -> End:
        end = self._process.files.get(self._fd)
        if not isinstance(end, End):
            raise BrokenPipeError
        return end

    def fileno(self) -> int:
        """Return its descriptor."""
        return self._fd

    def setblocking(self, flag: bool) -> None:
        """Do nothing: no call of ours ever blocks here."""

    def set_inheritable(self, flag: bool) -> None:
        """Do nothing: nothing is inherited here."""

    def shutdown(self, how: int) -> None:
        """Say nothing more; the other side reads an end."""
        self._end.shut()

    def send(self, data: bytes, flags: int = 0) -> int:
        """Send a packet."""
        self._end.send(bytes(data))
        return len(data)

    def sendmsg(self, buffers: Iterable[bytes], controls: Iterable[Any] = ()) -> int:
        """Send a packet with descriptors."""
        fds = [fd for _, _, given in controls for fd in given]
        ends = [self._process.files[fd] for fd in fds]
        data = b"".join(buffers)
        self._end.send(data, [end for end in ends if isinstance(end, End)])
        return len(data)

    def recv(self, size: int) -> bytes:
        """Take a packet."""
        return self._end.receive()[0]

    def recvmsg(self, size: int, space: int = 0) -> tuple[bytes, list[Any], int, None]:
        """Take a packet; nobody here is sent descriptors through this."""
        return self.recv(size), [], 0, None

    def close(self) -> None:
        """Hang up."""
        if self._fd in self._process.files:
            self._process.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def opened(process: Process, end: End) -> SimSocket:
    """Give a process an end of a pair."""
    return SimSocket(process, process.open(end))
