"""HTTP for the fake server: real sockets, real models, and every connection can be cut.

It knows how a call comes and how it is answered; what it means is `fake_server.py`'s business.
"""

import contextlib
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Protocol
from urllib.parse import parse_qs, urlsplit

from pydantic import BaseModel

from orchestrator.protocol.wire import (
    ClaimRequest,
    GoodbyeRequest,
    HeartbeatRequest,
    ReportRequest,
    SessionRequest,
)

PREFIX = "/api/worker/v1/"
HELD_MAX_S = 20.0
"""An answer that a test keeps back goes in the end, so that nobody waits for a test that failed."""


@dataclass(frozen=True)
class Problem:
    """A refusal."""

    status: int
    code: str
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Call:
    """One request as it came."""

    name: str
    at: float
    request: BaseModel | None = None
    params: dict[str, str] = field(default_factory=dict)


Fault = Callable[[Call], "Problem | BaseModel | str | None"]
"""What to do instead of, or before, an answer: a problem, another answer, "drop the answer",
"hang up", nothing."""


class Fake(Protocol):
    """The server behind the socket."""

    token: str
    changed: threading.Condition
    calls: list[Call]
    errors: list[str]
    faults: dict[str, list[Fault]]
    files: dict[str, bytes]
    tokens: set[str]
    by_token: Counter[str]
    answering: threading.Event

    def output(self, params: dict[str, str], body: bytes) -> Any:
        """Take much output."""
        ...


class Http(ThreadingHTTPServer):
    """The listening side. Every connection is remembered, so that it can be cut."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], fake: Fake) -> None:
        super().__init__(address, _Handler)
        self.fake = fake
        self.connections: set[socket.socket] = set()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember a connection."""
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget it."""
        self.connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: workers that are killed cut their connections."""

    def cut(self) -> None:
        """Stop listening and end every connection."""
        self.shutdown()
        self._thread.join()
        self.server_close()
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body in one packet
    server: "Http"
    models: ClassVar[dict[str, type[BaseModel]]] = {
        "sessions": SessionRequest,
        "claim": ClaimRequest,
        "report": ReportRequest,
        "heartbeat": HeartbeatRequest,
        "goodbye": GoodbyeRequest,
    }

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the tests' output clean."""

    def do_GET(self) -> None:
        """Answer a download."""
        self._answer(b"")

    def do_POST(self) -> None:
        """Answer a call."""
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if len(body) == length:  # otherwise somebody was cut off, on this side or the other
            self._answer(body)

    def _answer(self, body: bytes) -> None:
        fake = self.server.fake
        parts = urlsplit(self.path)
        name, _, rest = parts.path.removeprefix(PREFIX).partition("/")
        params = {key: values[0] for key, values in parse_qs(parts.query).items()}
        kind, _, token = self.headers.get("Authorization", "").partition(" ")
        if kind != "Worker" or token not in {fake.token, *fake.tokens}:
            self._refuse(Problem(401, "unauthenticated"))
            return
        fake.by_token[token] += 1
        model = self.models.get(name)
        try:
            request = model.model_validate_json(body) if model else None
        except ValueError as error:
            fake.errors.append(f"{name}: {error}")
            self._refuse(Problem(422, "request_invalid"))
            return
        call = Call(name, time.time(), request, params)
        with fake.changed:
            fake.calls.append(call)
            queue = fake.faults.get(name)
            fault = queue.pop(0)(call) if queue else None
            if isinstance(fault, BaseModel):
                self._send(200, fault.model_dump_json().encode())
                return
            if isinstance(fault, Problem):
                self._refuse(fault)
                return
            if fault == "hang up":
                self.close_connection = True
                return
            done = self._do(name, request if model else body, params, rest)
            fake.changed.notify_all()
        if name == "claim":
            fake.answering.wait(HELD_MAX_S)
        if fault == "drop the answer":
            self.close_connection = True
        elif isinstance(done, Problem):
            self._refuse(done)
        elif isinstance(done, bytes):
            self._send(200, done, "application/octet-stream")
        else:
            self._send(200, done.model_dump_json().encode())

    def _do(self, name: str, request: Any, params: dict[str, str], rest: str) -> Any:
        fake = self.server.fake
        if name == "output":
            return fake.output(params, request)
        if name == "files":
            return fake.files.get(rest, Problem(404, "not_found"))
        return getattr(fake, name)(request)

    def _refuse(self, problem: Problem) -> None:
        told = {"title": "x", "status": problem.status, "code": problem.code, "detail": "no"}
        self._send(problem.status, json.dumps(told).encode(), headers=problem.headers)

    def _send(
        self,
        status: int,
        body: bytes,
        kind: str = "application/json",
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
