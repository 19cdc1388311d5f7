"""The address of the server, held by the supervisor for as long as it runs.

A server that held it itself would lose it with each of its deaths, and whoever called meanwhile
would be refused. It would also find out only after a second of imports that it cannot have it.
"""

import errno
import socket
import threading
from typing import Final

import anyio
from anyio import to_thread

from orchestrator.kernel import listening
from orchestrator.kernel.errors import StateUnavailable

_PATIENCE_S: Final = 3.0
"""A server whose supervisor was killed hears of it at once, and soon leaves its port."""
_CHECK_S: Final = 0.05


async def listen(host: str, port: int, *, insecure_http: bool) -> socket.socket:
    """Return a socket that listens there, or raise what a person can do about it."""
    deadline = anyio.current_time() + _PATIENCE_S
    while True:
        try:
            return await bind(host, port, insecure_http=insecure_http)
        except StateUnavailable as error:
            taken = isinstance(error.__cause__, OSError) and error.__cause__.errno
            if taken != errno.EADDRINUSE or anyio.current_time() > deadline:
                raise
        await anyio.sleep(_CHECK_S)


async def bind(host: str, port: int, *, insecure_http: bool) -> socket.socket:
    """Return a listening socket; a name is looked up, which may take as long as others like.

    Meanwhile everything else goes on. Who is cancelled waits no longer, and a socket that comes
    later is closed.
    """
    lock, given_up, bound = threading.Lock(), threading.Event(), list[socket.socket]()

    def in_thread() -> None:
        ours = listening.bind(host, port, insecure_http=insecure_http)
        with lock:
            if given_up.is_set():
                ours.close()
            bound.append(ours)

    try:
        await to_thread.run_sync(in_thread, abandon_on_cancel=True)
    except BaseException:
        with lock:
            given_up.set()
            for ours in bound:
                ours.close()
        raise
    return bound[0]
