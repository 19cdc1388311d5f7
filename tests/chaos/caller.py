"""Calling the server as a stranger does: HTTP, one connection for each call, no help from us.

An answer counts only when it is whole. Everything else is `Unknown`: it may have happened.
"""

import http.client
import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final

from tests.chaos.proxy import HERE

PATIENCE_S: Final = 15.0
STREAM_S: Final = 5.0
"""How long a stream may be silent before a follower connects again."""


class Unknown(Exception):
    """There was no whole answer: nobody knows whether it was done."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    status: int
    body: bytes

    @property
    def json(self) -> Any:
        """Return the body, which must be JSON."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event."""

    name: str
    id: str
    data: Any


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who has a key, and calls a port."""

    port: int
    key: str

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: dict[str, str] | None = None,
        patience_s: float = PATIENCE_S,
    ) -> Answer:
        """Return the whole answer, or raise `Unknown`. A body that is not bytes is sent as JSON."""
        sent = {"Authorization": f"Bearer {self.key}", **(headers or {})}
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        with closing(http.client.HTTPConnection(HERE, self.port, timeout=patience_s)) as line:
            try:
                line.request(method, path, body, sent)
                answer = line.getresponse()
                if answer.length is None and not answer.chunked:
                    # Python takes a head that was cut off for one that says nothing of a body.
                    raise Unknown("the head of the answer is not whole")
                return Answer(answer.status, answer.read())
            except (OSError, http.client.HTTPException) as error:
                raise Unknown(repr(error)) from error

    def post_once(self, path: str, body: Any, key: str) -> Answer:
        """Send a POST that is done once, however often it is sent with that key."""
        return self.call("POST", path, body, headers={"Idempotency-Key": key})

    def stream(self, path: str, last_id: str | None) -> Iterator[Event]:
        """Yield events until the stream ends or breaks; it says neither which nor why."""
        sent = {"Authorization": f"Bearer {self.key}"}
        if last_id is not None:
            sent["Last-Event-ID"] = last_id
        with closing(http.client.HTTPConnection(HERE, self.port, timeout=STREAM_S)) as line:
            try:
                line.request("GET", path, headers=sent)
                answer = line.getresponse()
                if answer.status == http.client.OK:
                    yield from _events(answer)
            except (OSError, http.client.HTTPException):
                return


def _events(answer: http.client.HTTPResponse) -> Iterator[Event]:
    """Yield the whole events of a stream: what has no empty line behind it was cut off."""
    fields: dict[str, str] = {}
    while text := answer.readline():
        if text == b"\n":
            if "data" in fields:
                data = json.loads(fields["data"])
                yield Event(fields.get("event", ""), fields.get("id", ""), data)
            fields = {}
        elif text.endswith(b"\n"):
            name, _, value = text.decode().rstrip("\n").partition(": ")
            fields[name] = value
