"""Calls of a server, each on a connection of its own: its port tells its answer in the record."""

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Body = bytes | Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer, and the port at which it came in."""

    port: int
    status: int
    body: Any


@dataclass(slots=True)
class Caller:
    """Calls one server with one credential."""

    address: tuple[str, int]
    credential: str

    def call(self, method: str, path: str, body: Body = None, **headers: str) -> Answer:
        """Make a call and return what came; anything but success is a mistake of the test."""
        sent = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
        connection = http.client.HTTPConnection(*self.address, timeout=60)
        try:
            connection.connect()
            port = connection.sock.getsockname()[1]
            connection.request(
                method,
                path,
                sent,
                {
                    "Authorization": self.credential,
                    "Content-Type": kind,
                    "Connection": "close",
                    **{name.replace("_", "-"): value for name, value in headers.items()},
                },
            )
            response = connection.getresponse()
            text = response.read()
        finally:
            connection.close()
        assert response.status < 300, f"{method} {path}: {response.status} {text!r}"
        return Answer(port, response.status, json.loads(text) if text else None)
