"""The line between a parent and its child process: messages both ways, and its end is an end.

The parent gives orders (`{"do": "drain"}`), the child gives news (`{"state": "ready"}`), and each
learns from the closed line that the other is gone: the kernel closes it however a process ends, so
no child outlives its parent unnoticed and no pid has to be watched. It does not know what any
message means.

It is a pair of SOCK_SEQPACKET sockets: messages keep their bounds, and neither end can be opened by
anybody else.
"""

import contextlib
import socket
from collections.abc import AsyncIterator, Mapping
from typing import Self

import anyio

from orchestrator.kernel import packets
from orchestrator.kernel.packets import Message

MESSAGE_BYTES = 128 * 1024
"""Orders may carry a worker's whole environment, of which 64 KiB are allowed, and JSON can double
it; whatever is longer does not belong here. It fits beside what waits in an untuned socket."""
_PATIENCE_S = 5.0
"""A peer that leaves hundreds of messages unread has stopped listening."""


class _End:
    """What both ends can do."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        end.set_inheritable(False)
        self._socket = end
        self._closed = False

    async def tell(self, message: Mapping[str, object]) -> None:
        """Send a message.

        To a peer that is gone it does nothing: who cares learns that by reading, once and in one
        place, not from whichever message came too late.
        """
        data = packets.encode(message)
        if len(data) > MESSAGE_BYTES:
            raise ValueError(f"a message of {len(data)} bytes; at most {MESSAGE_BYTES} fit")
        quiet = contextlib.suppress(ConnectionError, anyio.ClosedResourceError)
        with anyio.move_on_after(_PATIENCE_S), quiet:
            while not self._closed:
                try:
                    self._socket.send(data)
                except BlockingIOError:
                    await anyio.wait_writable(self._socket)
                else:
                    return

    async def _messages(self) -> AsyncIterator[Message]:
        while True:
            data = await self._receive()
            if not data:
                return
            yield packets.parsed(data)

    async def _receive(self) -> bytes:
        """Return the next message, or nothing at the end."""
        while not self._closed:
            try:
                return self._socket.recv(MESSAGE_BYTES)
            except BlockingIOError:
                with contextlib.suppress(anyio.ClosedResourceError):
                    await anyio.wait_readable(self._socket)
            except ConnectionError:
                # A peer that died with messages of ours unread: the same as an orderly end.
                break
        return b""

    def close(self) -> None:
        """End the line: the other side reads an end, and so does who reads on this side."""
        if not self._closed:
            self._closed = True
            # Whoever waits for a closed descriptor would wait for ever, or for its next owner.
            anyio.notify_closing(self._socket)
            self._socket.close()


class Lifeline(_End):
    """The child's end."""

    @classmethod
    def from_fd(cls, fd: int) -> Self:
        """Take over the descriptor that the parent passed."""
        return cls(socket.socket(fileno=fd))

    def orders(self) -> AsyncIterator[Message]:
        """Yield the parent's orders; it ends when the parent is gone."""
        return self._messages()


class ParentEnd(_End):
    """The parent's end."""

    def hang_up(self) -> None:
        """Say nothing more: the child reads an end, as if we were gone, and can still be heard."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def news(self) -> AsyncIterator[Message]:
        """Yield what the child tells; it ends when the child is gone."""
        return self._messages()


def pair() -> tuple[ParentEnd, socket.socket]:
    """Return a new line: the parent's end, and the socket to pass to the child and then close."""
    ours, theirs = packets.pair()
    return ParentEnd(ours), theirs
