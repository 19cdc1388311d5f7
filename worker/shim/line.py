"""A shim's socket to its worker: orders come in, bells go out.

It knows the form of an order and the end of the line. The line carries nothing that is not in the
segment too, except the orders themselves: when the worker is gone, nothing but a bell is lost.
"""

import contextlib
import socket
from dataclasses import dataclass

from orchestrator.kernel import packets
from worker.records import Cause
from worker.shim import layout


@dataclass(frozen=True, slots=True)
class Grant:
    """One attempt to run, as the worker asks for it."""

    job: str
    attempt: int
    argv: list[str]
    env: dict[str, str]
    cwd: str
    root: str | None
    timeout_s: float | None
    silence_s: float | None
    grace_s: float
    durable: bool
    stdin: int | None
    spool_max_bytes: int | None = None
    """How much may wait in the spool for the server; without it, what held until now."""
    memory_bytes: int | None = None
    """Of the command and all that it starts."""
    cpus: float | None = None
    """Processors that all of it may keep busy; only where a control group sees to it."""
    pids: int | None = None
    """Processes and threads of all of it; as well."""
    open_files: int | None = None
    """Of each process."""
    output_bytes: int | None = None
    """What of its output is kept."""
    nice: int = 0


@dataclass(frozen=True, slots=True)
class Cancel:
    """End what runs now, for this cause, after this grace."""

    cause: Cause
    grace_s: float


class Line:
    """The shim's end."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self.fd = end.fileno()
        self.gone = False
        """Whether the worker is: then nobody listens, and no order will come."""

    def receive(self) -> Grant | Cancel | None:
        """Return the next order, waiting for it; `None` when the worker is gone.

        A worker that died with bells of ours unread is told as an error first, and the orders that
        it had sent come after: so the end is believed only when it is met twice.
        """
        received = self._receive() or self._receive()
        if received is None:
            self.gone = True
            return None
        order, fds = received
        if "large" in order:
            order = _read(fds.pop(0))
        if "cancel" in order:
            return Cancel(Cause(order["cancel"]), order["grace_s"])
        return Grant(**{**order, "stdin": fds[0] if fds else None})

    def _receive(self) -> tuple[packets.Message, list[int]] | None:
        return packets.receive(self._socket, limit=layout.MESSAGE_BYTES)

    def say(self, message: bytes) -> None:
        """Tell the worker, if it is there and has room; the segment says the same again."""
        with contextlib.suppress(OSError):
            self._socket.send(message, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)


def _read(fd: int) -> packets.Message:
    """Return the order that was too long for a packet and came in a file."""
    with open(fd, "rb") as file:
        file.seek(0)
        return packets.parsed(file.read())
