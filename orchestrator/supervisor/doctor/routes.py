"""The way to a server, step by step: name, address, connection, encryption, answer.

Not through the client of everybody else, which says only that it did not get there. On the way
nobody's token is sent: only a server to which it led is asked about those of its own workers. No
proxy is asked, because none is used otherwise.
"""

import contextlib
import http.client
import ipaddress
import socket
import ssl
from collections.abc import Iterable
from dataclasses import replace
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit

from orchestrator.client.inquiry import ask_all
from orchestrator.kernel.clock import SystemClock
from orchestrator.supervisor.logic.doctor.facts import Route, TokenAnswer
from orchestrator.supervisor.logic.wanted import MachineWanted

PATIENCE_S: Final = 5.0
HEALTH: Final = "/api/health"
_HALF_A_SECOND: Final = 0.5
"""A date in a header has no fractions."""


def servers(wanted: MachineWanted | None, embedded_url: str | None) -> dict[str, tuple[str, ...]]:
    """Return the address of every server, and for which workers it is."""
    found: dict[str, tuple[str, ...]] = {} if embedded_url is None else {embedded_url: ()}
    for worker in () if wanted is None else wanted.workers:
        url = worker.identity.server_url or embedded_url
        if url is not None and worker.enabled:
            found[url] = (*found.get(url, ()), worker.name)
    return found


def travel(url: str, workers: tuple[str, ...]) -> Route:
    """Go as far as one gets."""
    parts = urlsplit(url)
    host, secure = parts.hostname or "", parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    route = Route(url=url, workers=workers, host=host)
    try:
        known = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        return replace(route, resolve_fault=_why(error))
    route = replace(route, addresses=tuple(dict.fromkeys(_told(host, it[4]) for it in known)))
    try:
        connection = socket.create_connection((host, port), timeout=PATIENCE_S)
    except OSError as error:
        return replace(route, connect_fault=_why(error))
    with connection:
        if not secure:
            return _answered(route, connection, parts.netloc, parts.path)
        context = ssl.create_default_context()
        try:
            with context.wrap_socket(connection, server_hostname=host) as encrypted:
                route = replace(route, expires_in_s=_expires_in_s(encrypted))
                return _answered(route, encrypted, parts.netloc, parts.path)
        except ssl.SSLError as error:
            return replace(route, encryption_fault=_why(error))
        except OSError as error:
            return replace(route, encryption_fault=_why(error))


def _told(host: str, address: tuple[object, ...]) -> str:
    with contextlib.suppress(ValueError):
        return f"{ipaddress.ip_address(host)} port {address[1]}"
    return f"{address[0]} port {address[1]}"


def _expires_in_s(encrypted: ssl.SSLSocket) -> float | None:
    end = (encrypted.getpeercert() or {}).get("notAfter")
    return ssl.cert_time_to_seconds(end) - SystemClock().now() if isinstance(end, str) else None


def _answered(route: Route, connection: socket.socket, netloc: str, path: str) -> Route:
    """Ask for what everybody may see, and compare the clocks."""
    asking = http.client.HTTPConnection(netloc, timeout=PATIENCE_S)
    asking.sock = connection
    began = SystemClock().now()
    try:
        asking.request("GET", path.rstrip("/") + HEALTH, headers={"Connection": "close"})
        answer = asking.getresponse()
        answer.read(4096)
    except (OSError, http.client.HTTPException) as error:
        return replace(route, answer_fault=_why(error))
    now = (began + SystemClock().now()) / 2
    if answer.status != http.HTTPStatus.OK:
        return replace(route, answer_fault=f"{HEALTH} is answered with {answer.status}")
    ahead_s = None
    with contextlib.suppress(TypeError, ValueError):
        date = parsedate_to_datetime(answer.headers["Date"]).timestamp()
        ahead_s = now - date - _HALF_A_SECOND
    return replace(route, ahead_s=ahead_s)


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, ssl.SSLError):
        return error.reason or str(error)
    if isinstance(error, TimeoutError):
        return f"no answer within {PATIENCE_S:g} s"
    told = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(told).lower()


def tokens(wanted: MachineWanted | None, routes: Iterable[Route]) -> tuple[TokenAnswer, ...]:
    """Ask each server about the tokens of its workers; one that does not answer is not asked."""
    open_to = {route.url for route in routes if route.leads_there}
    asked = [
        (worker, worker.identity.server_url, worker.token)
        for worker in (() if wanted is None else wanted.workers)
        if worker.token is not None and worker.enabled and worker.identity.server_url in open_to
    ]
    answers = ask_all((url, token) for _, url, token in asked)
    return tuple(
        TokenAnswer(
            worker=worker.name,
            place=str(worker.place),
            url=url,
            verdict=str(answer.verdict),
            why=answer.why,
            hint=answer.hint,
        )
        for (worker, url, _), answer in zip(asked, answers, strict=True)
    )


def taken(host: str, port: int) -> bool:
    """Tell whether somebody listens at an address of this machine."""
    try:
        socket.create_connection((host, port), timeout=PATIENCE_S).close()
    except OSError:
        return False
    return True
