"""One HTTP connection, and what it may not do: linger, trickle, or send a head without end.

uvicorn parses and answers; this adds the limits that only show on the connection itself, before
there is a request that a middleware could look at. It knows no route and no job. Time is watched by
one sweep over all connections each second instead of a timer each, so that a request pays nothing.
"""

import asyncio
from http import HTTPStatus
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from orchestrator.kernel import descriptors
from orchestrator.protocol.views import Problem
from orchestrator.server.edge.envelope import SAFE_HEADERS, problem_headers
from orchestrator.server.edge.head import HEAD_BYTES, URI_BYTES
from orchestrator.server.edge.lobby import Lobby

CONNECTION: Final = "orchestrator.connection"
"""The key of the connection in a request's scope."""
CONNECTIONS: Final = 10_000
"""Of everybody together; far below the descriptors that a server usually may have."""
KEPT_DESCRIPTORS: Final = 40
"""Where it may have few: for the database, its readers and the files that are open at once."""
HEAD_TIMEOUT_S: Final = 10.0
BODY_GRACE_S: Final = 20.0
"""A body may hesitate this long before its rate is looked at."""
BODY_MIN_RATE: Final = 1024
"""Bytes a second: the slowest network that still is one."""
BODY_IDLE_S: Final = 60.0
UNREAD_ANSWER_S: Final = 60.0
"""A client that takes nothing of its answer for so long has gone, whatever TCP believes."""
DISCARD_BYTES: Final = 8 * 1024 * 1024
"""Read and thrown away behind an early refusal, so that an honest client sees the refusal."""
_RAW_HEAD_BYTES: Final = HEAD_BYTES + URI_BYTES + 8 * 1024


class GuardedConfig(uvicorn.Config):
    """uvicorn's configuration, and the lobby that all its connections share."""

    def __init__(self, app: Any, lobby: Lobby, **options: Any) -> None:  # noqa: ANN401  # uvicorn's
        self.lobby = lobby
        self.connections = max(1, min(CONNECTIONS, descriptors.limit() - KEPT_DESCRIPTORS))
        super().__init__(app, **options)


class Connection(HttpToolsProtocol):
    """uvicorn's connection under watch."""

    config: GuardedConfig

    def __init__(
        self,
        config: GuardedConfig,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._head_since: float | None = None
        self._head_bytes = 0
        self._body_since: float | None = None
        self._body_bytes = 0
        self._heard_at = 0.0
        self._discarded = 0
        self._ends_with_answer = False
        self._unsent = 0
        self._unsent_since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Let it into the lobby, or turn it away when that is full of strangers."""
        super().connection_made(transport)
        self._head_since = self._heard_at = self.loop.time()
        full = len(self.connections) > self.config.connections
        if full or not self.config.lobby.enter(self, now=self._heard_at):
            self._refuse(503, "too_many_connections", "too many connections are open", retry_s=1)

    @property
    def address(self) -> str:
        """Return the address of the other side, for counting."""
        return self.client[0] if self.client else ""

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it everywhere."""
        self.config.lobby.leave(self)
        super().connection_lost(exc)

    def show_out(self) -> None:
        """End it: others wait for its place."""
        self.transport.abort()

    def recognised(self) -> None:
        """Note that a valid credential came over this connection: it is no stranger any more."""
        self.config.lobby.leave(self)

    def data_received(self, data: bytes) -> None:
        """Parse, and end a head that outgrows every limit before it is even complete."""
        self._heard_at = self.loop.time()
        super().data_received(data)
        if self._head_since is not None:
            self._head_bytes += len(data)
            if self._head_bytes > _RAW_HEAD_BYTES and not self.transport.is_closing():
                self._refuse(431, "headers_too_large", "the head of the request does not end")

    def on_message_begin(self) -> None:
        """Start the clock of a head."""
        super().on_message_begin()
        self.scope[CONNECTION] = self  # type: ignore[typeddict-unknown-key]
        self._head_since = self._heard_at
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        """Start the clock of a body; refuse a target that is not a path of this server.

        An absolute target (`GET http://other/ …`) would smuggle a second host past the Host header.
        """
        self._head_since = None
        self._body_since = self._heard_at
        self._body_bytes = self._discarded = 0
        if not self.url.startswith(b"/"):
            raise ValueError("the target is not a path")
        super().on_headers_complete()
        # A client that wants the connection closed is still sending when it is refused early.
        # Closing then would reset the connection and take our answer from it: uvicorn is told to
        # keep it, and it is closed below, once both sides have said all.
        self._ends_with_answer = not self.cycle.keep_alive
        self.cycle.keep_alive = True

    def on_body(self, body: bytes) -> None:
        """Count, and hang up on what goes on for too long behind its answer."""
        self._body_bytes += len(body)
        if self.cycle.response_complete:
            self._discarded += len(body)
            if self._discarded > DISCARD_BYTES:
                self.transport.abort()
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Stop the clock of the body."""
        self._body_since = None
        super().on_message_complete()
        self._end_if_asked()

    def on_response_complete(self) -> None:
        """End the connection behind the answer if that was asked, and all of the body came."""
        super().on_response_complete()
        self._end_if_asked()

    def _end_if_asked(self) -> None:
        """Close what its client wants closed, once its last request came and is answered."""
        complete = self._body_since is None and self.cycle.response_complete
        if complete and self._ends_with_answer and not self.transport.is_closing():
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Say in our own words that this was not HTTP."""
        self._refuse(400, "http_invalid", msg)

    def sweep(self, now: float) -> None:
        """End the connection if it waits for something that does not come."""
        if self.transport.is_closing():
            return
        if self._head_since is not None and now - self._head_since > HEAD_TIMEOUT_S:
            self._give_up_head()
        elif self._is_trickling(now) or self._is_unread(now):
            self.transport.abort()

    def _give_up_head(self) -> None:
        """End a connection without a request: with a word only to who had begun to ask.

        A browser or a pool that connected ahead of time would take that word for the answer to its
        first request.
        """
        if self._head_bytes:
            self._refuse(408, "head_timeout", f"no whole request came in {HEAD_TIMEOUT_S:g} s")
        else:
            self.transport.close()

    def _is_trickling(self, now: float) -> bool:
        """Tell whether a body comes too slowly, unless it is we who have stopped reading."""
        if self._body_since is None or self.flow.read_paused:
            return False
        elapsed = now - self._body_since
        if elapsed < BODY_GRACE_S:
            return False
        return self._body_bytes < elapsed * BODY_MIN_RATE or now - self._heard_at > BODY_IDLE_S

    def _is_unread(self, now: float) -> bool:
        """Tell whether the client has taken nothing of its answer for too long."""
        waiting = self.transport.get_write_buffer_size() if self.flow.write_paused else 0
        if waiting == 0 or waiting != self._unsent:
            self._unsent, self._unsent_since = waiting, now
            return False
        return now - self._unsent_since > UNREAD_ANSWER_S

    def _refuse(self, status: int, code: str, detail: str, *, retry_s: int | None = None) -> None:
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and cycle.response_started and not cycle.response_complete:
            self.transport.abort()  # no second answer into the middle of the first
            return
        title = HTTPStatus(status).phrase
        problem = Problem(title=title, status=status, code=code, detail=detail)
        body = problem.model_dump_json(exclude_none=True).encode()
        more = {"content-length": str(len(body)), "connection": "close"}
        if retry_s is not None:
            more["retry-after"] = str(retry_s)
        headers = [*problem_headers(more), *SAFE_HEADERS]
        lines = [f"HTTP/1.1 {status} {title}".encode()]
        lines += [name + b": " + value for name, value in headers]
        self.transport.write(b"\r\n".join([*lines, b"", body]))
        self.transport.close()
