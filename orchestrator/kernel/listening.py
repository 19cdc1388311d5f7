"""A socket that listens, and the addresses by which it is reached.

It serves nobody. Whoever holds the socket keeps the address: connections that come while no server
accepts them wait in its queue instead of being refused, so a supervisor holds it over the restarts
of its server.
"""

import contextlib
import errno
import ipaddress
import socket
from typing import Final

from orchestrator.kernel.errors import ConfigInvalid, StateUnavailable

BACKLOG: Final = 2048


def bind(host: str, port: int, *, insecure_http: bool) -> socket.socket:
    """Return a listening socket; refuse an address that others can reach, unless asked for.

    Without TLS every credential would cross the network readable.
    """
    family, address = _resolve(host, port)
    _refuse_others(address[0], insecure_http=insecure_http)
    # The protocol is named because asyncio sends small answers at once (TCP_NODELAY) only on a
    # socket that names it. Otherwise each answer waits 40 ms for an acknowledgement.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind(address)
        listening.listen(BACKLOG)  # here, so that a taken port shows before anything is started
    except OSError as error:
        listening.close()
        raise _unavailable(host, port, error) from error
    listening.setblocking(False)
    return listening


def from_fd(fd: int, *, insecure_http: bool) -> socket.socket:
    """Take over a listening socket that was passed to us, by the same rules."""
    try:
        listening = socket.socket(fileno=fd)
    except OSError as error:
        raise _unusable(fd) from error
    try:
        listens = listening.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        if not listens or listening.family not in {socket.AF_INET, socket.AF_INET6}:
            raise _unusable(fd)
        _refuse_others(listening.getsockname()[0], insecure_http=insecure_http)
    except BaseException:
        listening.close()
        raise
    listening.set_inheritable(False)
    listening.setblocking(False)
    return listening


def _unusable(fd: int) -> ConfigInvalid:
    return ConfigInvalid(
        f"descriptor {fd} is no TCP socket that listens",
        hint="pass a listening TCP socket, or give an address with --listen",
    )


def _refuse_others(address: str, *, insecure_http: bool) -> None:
    if (
        not insecure_http
        and not ipaddress.ip_address(address.split("%", maxsplit=1)[0]).is_loopback
    ):
        raise ConfigInvalid(
            f"{address} can be reached from other machines, and plain HTTP would show every key",
            hint="listen on 127.0.0.1 (behind a proxy with TLS), or say --insecure-http",
        )


def _unavailable(host: str, port: int, error: OSError) -> StateUnavailable:
    hint = "choose another address with --listen HOST:PORT"
    why = error.strerror or str(error)
    if error.errno == errno.EADDRINUSE:
        hint = f"stop what listens there (ss -ltnp 'sport = :{port}' names it), or {hint}"
        why = "the address is in use"
    return StateUnavailable(f"cannot listen on {authority(host, port)}: {why}", hint=hint)


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, tuple[str, int]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        # A name that cannot be one is no OSError: getaddrinfo encodes it first.
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise ConfigInvalid(
            f"{host!r} is not an address of this machine: {why}",
            hint="give an address such as 127.0.0.1:8700",
        ) from error
    # IPv4 first, so that `localhost` means the same address everywhere.
    family, _, _, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    return family, (str(address[0]), int(address[1]))


def authority(host: str, port: int) -> str:
    """Return `host:port` as it is written in an address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def bound_to(listening: socket.socket) -> str:
    """Return the address to which a socket is bound, which may be all of this machine's."""
    host, port = listening.getsockname()[:2]
    return authority(host, port)


def url_of(listening: socket.socket) -> str:
    """Return the address by which this machine itself reaches a socket."""
    return url_at(*listening.getsockname()[:2])


def url_at(host: str, port: int) -> str:
    """Return the address by which this machine itself reaches who listens there."""
    with contextlib.suppress(ValueError):  # a name is what it is
        parsed = ipaddress.ip_address(host)
        if parsed.is_unspecified:
            host = "127.0.0.1" if parsed.version == 4 else "::1"
    return f"http://{authority(host, port)}"
