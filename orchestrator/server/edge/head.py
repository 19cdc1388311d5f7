"""The checks of a request's head that need to know neither route nor credential.

They come before anything else, because what they refuse must cost next to nothing: a head that is
too long, a Host that is not ours (a page on another site can make a browser call this address under
its own name), compressed bodies and multipart forms, which nothing here understands on purpose.
"""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from starlette.types import ASGIApp, Receive, Scope, Send

from orchestrator.kernel.errors import RequestInvalid
from orchestrator.server.edge.refusals import Declined

HEADERS: Final = 100
HEAD_BYTES: Final = 16 * 1024
"""Of all header fields together; ours send under one KiB."""
URI_BYTES: Final = 8 * 1024
SEEN: Final = "orchestrator.head"
"""The key of what was seen in the head, in the request's scope."""
LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
_KNOWN: Final = 1000
_HOST: Final = re.compile(r"(\[[0-9a-f:.]{2,45}\]|[a-z0-9._-]{1,253})(?::[0-9]{1,5})?")


class Seen(NamedTuple):
    """The header fields that later steps ask for, found in one pass."""

    host: bytes
    authorization: bytes | None
    content_type: bytes
    content_length: int | None


class Hosts:
    """The names under which this server answers."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = LOOPBACK_NAMES | {name.lower() for name in names}
        self._known: set[tuple[bytes, str | None]] = set()

    def check(self, host: bytes, own_address: str | None) -> None:
        """Refuse a Host that is neither listed nor the address on which the request came in."""
        if (host, own_address) in self._known:
            return
        if not self._is_ours(host, own_address):
            raise Declined(
                421,
                "host_not_allowed",
                "this server does not answer under the name in the Host header",
                hint="use the address that the server printed, or list the name in "
                "ORCHESTRATOR_ALLOWED_HOSTS when you start the server",
            )
        if len(self._known) >= _KNOWN:
            self._known.clear()  # ports and capitals make many spellings of one name
        self._known.add((host, own_address))

    def _is_ours(self, host: bytes, own_address: str | None) -> bool:
        match = _HOST.fullmatch(host.decode("latin-1").lower())
        if match is None:
            return False
        return match[1] in self._names or match[1] in {own_address, f"[{own_address}]"}


class HeadChecks:
    """The middleware that looks at a head before anybody else does."""

    def __init__(self, app: ASGIApp, hosts: Hosts) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what has a head that we can work with."""
        seen = scope[SEEN] = _look(scope)
        self._hosts.check(seen.host, scope["server"][0] if scope["server"] else None)
        if seen.content_type.startswith(b"multipart/"):
            raise Declined(
                415,
                "multipart_refused",
                "multipart forms are not understood here",
                hint="send the file itself as the body of POST /api/v1/files",
            )
        await self._app(scope, receive, send)


def _look(scope: Scope) -> Seen:
    """Read the header fields once; refuse too many, too long, repeated and compressed ones."""
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    _check_sizes(scope, headers)
    once: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in _SINGLE:
            if name in once:
                raise _invalid(f"the header {name.decode()} must be sent once")
            once[name] = value
    if b"host" not in once:
        raise _invalid("the header host is missing")
    if once.get(b"content-encoding", b"identity").lower() != b"identity":
        raise Declined(
            415,
            "encoding_refused",
            "compressed bodies are not accepted",
            hint="send the body as it is, without Content-Encoding",
        )
    length = once.get(b"content-length")
    return Seen(
        once[b"host"],
        once.get(b"authorization"),
        once.get(b"content-type", b"").lower(),
        int(length) if length is not None and length.isdigit() else None,
    )


_SINGLE: Final = frozenset(
    {b"host", b"authorization", b"content-type", b"content-length", b"content-encoding"}
)


def _check_sizes(scope: Scope, headers: list[tuple[bytes, bytes]]) -> None:
    if len(scope["raw_path"]) + len(scope["query_string"]) > URI_BYTES:
        raise Declined(414, "uri_too_long", f"the address is longer than {URI_BYTES} bytes")
    size = sum(len(name) + len(value) for name, value in headers)
    if len(headers) > HEADERS or size > HEAD_BYTES:
        message = f"at most {HEADERS} headers of {HEAD_BYTES} bytes together are read"
        raise Declined(431, "headers_too_large", message)


def _invalid(message: str) -> RequestInvalid:
    return RequestInvalid(message, code="head_invalid")
