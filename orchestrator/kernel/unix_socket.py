"""Sockets that have a place in a folder: their addresses, and who is at the other end.

The kernel takes only 107 bytes as such an address, and a folder of somebody's may have a longer
name. On Linux it is then reached through a descriptor of its folder, whose name is short.
"""

import contextlib
import os
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from orchestrator.kernel.errors import StateUnavailable

ADDRESS_BYTES: Final = 103
"""macOS has room for one byte less than 104, Linux for 107."""
_CREDENTIALS: Final = struct.Struct("3i")
_SOL_LOCAL: Final = 0
_LOCAL_PEERCRED: Final = 1
_XUCRED: Final = struct.Struct("=II")
_XUCRED_BYTES: Final = 76
_BACKLOG: Final = 64


class Peer(NamedTuple):
    """Whose process is at the other end, as the kernel noted when it connected."""

    pid: int | None
    uid: int


@contextlib.contextmanager
def address(path: Path) -> Iterator[str]:
    """Give an address of that path, good as long as the context lasts."""
    if len(os.fsencode(path)) <= ADDRESS_BYTES:
        yield str(path)
        return
    if sys.platform != "linux":
        raise StateUnavailable(
            f"the path of the socket {path} is longer than {ADDRESS_BYTES} bytes",
            hint="choose a folder with a shorter name",
        )
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def listen(path: Path) -> socket.socket:
    """Return a socket that listens at `path`, for its owner alone.

    One that is left over from a process that was killed is replaced; the caller holds a lock that
    says there is no other. Raises `StateUnavailable`.
    """
    ours = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        previous = os.umask(0o177)
        try:
            with address(path) as name:
                ours.bind(name)
        finally:
            os.umask(previous)
        ours.listen(_BACKLOG)
        ours.setblocking(False)
    except OSError as error:
        ours.close()
        raise StateUnavailable(f"cannot listen at {path}: {error.strerror}") from error
    except BaseException:
        ours.close()
        raise
    return ours


def connect(path: Path, *, timeout_s: float | None) -> socket.socket:
    """Return a connection to whoever listens at `path`; an `OSError` says why there is none."""
    ours = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        ours.settimeout(timeout_s)
        with address(path) as name:
            ours.connect(name)
    except BaseException:
        ours.close()
        raise
    return ours


def peer(connection: socket.socket) -> Peer:
    """Return who is at the other end of a connection."""
    asked = getattr(socket, "SO_PEERCRED", None)
    if asked is not None:
        raw = connection.getsockopt(socket.SOL_SOCKET, asked, _CREDENTIALS.size)
        pid, uid, _gid = _CREDENTIALS.unpack(raw)
        return Peer(pid, uid)
    # LOCAL_PEERCRED of macOS, a `struct xucred`: its version, then the uid (<sys/ucred.h>).
    raw = connection.getsockopt(_SOL_LOCAL, _LOCAL_PEERCRED, _XUCRED_BYTES)
    return Peer(None, _XUCRED.unpack_from(raw)[1])
