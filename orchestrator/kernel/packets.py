"""Packets: a JSON message and a few descriptors in one piece, on a SOCK_SEQPACKET socket.

It knows no message. Standard library only, because the launcher and the shims import it.
"""

import json
import os
import socket
from collections.abc import Iterable, Mapping
from typing import Any, Final

from orchestrator.kernel.errors import PeerBroken

Message = dict[str, Any]

MESSAGE_BYTES: Final = 192 * 1024
"""Below the send buffer of an untuned Linux socket (208 KiB), beyond which no message fits."""
DESCRIPTORS: Final = 16
"""Passed with one message; a child needs two or three."""


def pair() -> tuple[socket.socket, socket.socket]:
    """Return two connected sockets, both closed by any exec."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def encode(message: Mapping[str, object]) -> bytes:
    """Return the bytes of a message, which must fit into one packet."""
    data = json.dumps(message).encode()
    if len(data) > MESSAGE_BYTES:
        raise ValueError(f"a message of {len(data)} bytes; at most {MESSAGE_BYTES} fit")
    return data


def receive(
    source: socket.socket, *, limit: int = MESSAGE_BYTES
) -> tuple[Message, list[int]] | None:
    """Return the next message and its descriptors, or `None` at the end.

    A peer that died with data of ours unread is an end like any other. A socket that does not block
    and has nothing raises `BlockingIOError`. A low `limit`, where messages are short and many,
    saves mapping memory for each.
    """
    try:
        data, controls, _flags, _address = source.recvmsg(limit, socket.CMSG_SPACE(DESCRIPTORS * 4))
    except ConnectionError:
        return None
    fds: list[int] = []
    for level, kind, payload in controls:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds += memoryview(payload[: len(payload) // 4 * 4]).cast("i").tolist()
    for fd in fds:
        # Received descriptors are inheritable, and one of them in a job could forge its exit
        # record: https://docs.python.org/3/library/socket.html#socket.socket.recvmsg says so.
        os.set_inheritable(fd, False)
    return (parsed(data), fds) if data else None


def parsed(data: bytes) -> Message:
    """Return the message that these bytes are."""
    try:
        message = json.loads(data)
    except ValueError:
        message = None
    if not isinstance(message, dict):
        raise PeerBroken(f"not a message: {data[:100]!r}")
    return message


def close(fds: Iterable[int]) -> None:
    """Close descriptors that came with a message."""
    for fd in fds:
        os.close(fd)
