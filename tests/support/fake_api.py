"""A small API server at a real socket, which answers as it is told and remembers what it was asked.

It is the edge at which the command line and the client are tested when the real server would not
misbehave on request: connections that are cut, answers that are lost, servers that are not ours.
"""

import json
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

KEY = "pak_0000000000000000000000000000000000000000000000000"
JOB_ID = "job_" + "0" * 26
CREATED = "2026-08-21T09:14:03.118000Z"


@dataclass(frozen=True)
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Return its body, which must be JSON."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """One answer; `pieces` are sent one by one, and `cut` ends the connection in their middle."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    pieces: Iterable[bytes] | None = None
    cut: bool = False
    silent: bool = False
    """Hang up without a word."""


Handler = Callable[[Asked], Reply]


def answer(value: object, status: int = 200, **headers: str) -> Reply:
    """Return a JSON answer."""
    sent = {"content-type": "application/json", **headers}
    return Reply(status, json.dumps(value).encode(), sent)


def problem(status: int, code: str, detail: str, **more: Any) -> Reply:
    """Return a refusal as the API writes it."""
    after = more.pop("retry_after", None)
    value = {"title": "No", "status": status, "code": code, "detail": detail, **more}
    headers = {"content-type": "application/problem+json"}
    headers |= {} if after is None else {"retry-after": str(after)}
    return Reply(status, json.dumps(value).encode(), headers)


def job(state: str = "queued", **fields: Any) -> dict[str, Any]:
    """Return the JSON of a job."""
    return {"id": JOB_ID, "kind": "command", "state": state, "created_at": CREATED, **fields}


def event(name: str, data: object, *, id: str | None = None) -> bytes:
    """Return one server-sent event."""
    head = f"id: {id}\n" if id is not None else ""
    return f"{head}event: {name}\ndata: {json.dumps(data)}\n\n".encode()


def piece(text: str, offset: int, *, stream: str = "stdout", attempt: int = 1) -> bytes:
    """Return the event of one piece of output."""
    cursor = f"{attempt}.{offset}"
    frame = {"cursor": cursor, "at": CREATED, "stream": stream, "text": text}
    return event("output", frame, id=cursor)


def stream(*pieces: bytes, cut: bool = False) -> Reply:
    """Return an event stream."""
    return Reply(200, headers={"content-type": "text/event-stream"}, pieces=pieces, cut=cut)


class _Connection(BaseHTTPRequestHandler):
    """One connection to a `_Listener`."""

    protocol_version = "HTTP/1.1"
    timeout = 10
    server: "_Listener"

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (ConnectionError, ssl.SSLError):
            self.close_connection = True

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PATCH(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def log_message(self, format: str, *args: object) -> None:
        """Stay quiet."""

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", 0)))
        query = parse_qs(parts.query)
        self._send(self.server.answer(Asked(self.command, parts.path, query, headers, body)))

    def _send(self, reply: Reply) -> None:
        if reply.silent:
            self.close_connection = True
            return
        if "date" in reply.headers:
            self.send_response_only(reply.status)  # which does not say what time it is
        else:
            self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.pieces is None:
            self.send_header("content-length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)
            return
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for part in reply.pieces:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        self.close_connection = reply.cut
        if not reply.cut:
            self.wfile.write(b"0\r\n\r\n")


class _Listener(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, answer: Handler) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.answer = answer


class FakeApi:
    """The server; `on` says what it answers, once for each handler and then the last for ever."""

    def __init__(self, encryption: ssl.SSLContext | None = None) -> None:
        self.asked: list[Asked] = []
        self._handlers: dict[tuple[str, str], list[Handler]] = {}
        self._lock = threading.Lock()
        self._server = _Listener(self._reply_to)
        self._scheme = "http"
        if encryption is not None:
            self._scheme = "https"
            self._server.socket = encryption.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def url(self) -> str:
        """Return its address."""
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}"

    @property
    def env(self) -> dict[str, str]:
        """Return what leads a command line here."""
        return {"ORCHESTRATOR_URL": self.url, "ORCHESTRATOR_API_KEY": KEY}

    def on(self, method: str, path: str, *handlers: Handler | Reply) -> None:
        """Answer a method and path with each of these in turn, and then with the last."""
        self._handlers[method, path] = [
            handler if callable(handler) else _always(handler) for handler in handlers
        ]

    def _reply_to(self, asked: Asked) -> Reply:
        with self._lock:
            self.asked.append(asked)
            handlers = self._handlers.get((asked.method, asked.path))
            if not handlers:
                return problem(404, "not_found", f"nothing at {asked.method} {asked.path}")
            handler = handlers.pop(0) if len(handlers) > 1 else handlers[0]
        return handler(asked)

    def asked_for(self, method: str, path: str) -> list[Asked]:
        """Return what was asked there."""
        return [asked for asked in self.asked if (asked.method, asked.path) == (method, path)]

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def stop(self) -> None:
        """Stop serving and give the port back; streams that are open end with their program."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _always(reply: Reply) -> Handler:
    return lambda _: reply


@contextmanager
def fake_api(encryption: ssl.SSLContext | None = None) -> Iterator[FakeApi]:
    """Give a running server, encrypted if that is wanted."""
    server = FakeApi(encryption)
    server.start()
    try:
        yield server
    finally:
        server.stop()
