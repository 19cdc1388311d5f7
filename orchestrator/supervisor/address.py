"""The address at which the server is going to listen.

A server would find out by itself that it cannot have it, but only after a second of imports, and it
does not know by which option the address was given.
"""

import errno
import socket
from typing import Final

import anyio

from orchestrator.kernel.errors import StateUnavailable

_PATIENCE_S: Final = 3.0
"""A server whose supervisor was killed hears of it at once, and soon leaves its port."""
_CHECK_S: Final = 0.05


def authority(host: str, port: int) -> str:
    """Return `host:port` as it is written in an address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def wait_until_free(host: str, port: int) -> None:
    """Return when a server can listen there, or raise what a person can do about it."""
    error = _fault(host, port)
    with anyio.move_on_after(_PATIENCE_S):
        while error is not None and error.errno == errno.EADDRINUSE:
            await anyio.sleep(_CHECK_S)
            error = _fault(host, port)
    if error is None:
        return
    hint = "choose another address with --listen HOST:PORT"
    why = error.strerror or str(error)
    if error.errno == errno.EADDRINUSE:
        hint = f"stop what listens there (ss -ltnp 'sport = :{port}' names it), or {hint}"
        why = "the address is in use"
    raise StateUnavailable(f"cannot listen on {authority(host, port)}: {why}", hint=hint) from error


def _fault(host: str, port: int) -> OSError | None:
    """Try the address as a server would, and return what is wrong with it."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        # IPv4 first, as the server does it: `localhost` may have an IPv6 address that is not there.
        family, kind, protocol, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        return error
    return None
