"""Calling the orchestrator of this machine, through the socket in its state folder.

The standard library's HTTP client is enough for a socket that only we listen at, and is there at
once: whoever asks for the status of a machine does not wait a quarter of a second for httpx.
"""

import http.client
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlencode

from pydantic import BaseModel

from orchestrator.client.answers import Answer, refusal
from orchestrator.kernel import unix_socket
from orchestrator.kernel.errors import Forbidden, NotRunning, PeerBroken, Unavailable

CALL_S: Final = 15.0
"""The supervisor answers from memory; one that is stopped does not answer at all."""
_LINE_BYTES: Final = 1024 * 1024


class Control:
    """Calls of one orchestrator, one at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def is_answered(self) -> bool:
        """Tell whether somebody listens there."""
        try:
            unix_socket.connect(self.path, timeout_s=CALL_S).close()
        except OSError:
            return False
        return True

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Answer:
        """Return the answer to a GET, or raise what it stands for."""
        return self._call("GET", path, query, None, CALL_S)

    def post(
        self, path: str, request: BaseModel | None = None, *, timeout_s: float = CALL_S
    ) -> Answer:
        """Return the answer to a POST of a model, or raise what it stands for."""
        body = b"{}" if request is None else request.model_dump_json(exclude_unset=True).encode()
        return self._call("POST", path, None, body, timeout_s)

    def lines(self, path: str, query: Mapping[str, str] | None = None) -> Iterator[bytes]:
        """Yield the lines of an answer that goes on, until the orchestrator ends."""
        connection = _Connection(self.path, None)
        try:
            response = self._response(connection, "GET", path, query, None)
            while line := response.readline(_LINE_BYTES):
                yield line
        except (OSError, http.client.HTTPException):
            return  # it ended while it spoke
        finally:
            connection.close()

    def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: bytes | None,
        timeout_s: float,
    ) -> Answer:
        connection = _Connection(self.path, timeout_s)
        try:
            response = self._response(connection, method, path, query, body)
            return _answer(response, f"{method} {path}")
        except TimeoutError:
            raise Unavailable(
                f"the orchestrator at {self.path} did not answer within {timeout_s:g} s",
                hint="its process may be stopped, or the machine overloaded; look with: ps -ef",
            ) from None
        except (OSError, http.client.HTTPException) as error:
            raise PeerBroken(f"the orchestrator at {self.path} broke off: {error}") from None
        finally:
            connection.close()

    def _response(
        self,
        connection: "_Connection",
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: bytes | None,
    ) -> http.client.HTTPResponse:
        target = quote(path, safe="/:") + (f"?{urlencode(query)}" if query else "")
        self._connect(connection)
        connection.request(method, target, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        if response.status >= 300:
            answer = _answer(response, f"{method} {path}")
            raise refusal(answer) or PeerBroken(f"{answer.called} answered {answer.status}")
        return response

    def _connect(self, connection: "_Connection") -> None:
        try:
            connection.connect()
        except (FileNotFoundError, ConnectionRefusedError):
            raise NotRunning(
                f"no orchestrator runs here: nobody listens at {self.path}",
                hint="start it with: orchestrator run; or name its folder with --data-dir",
            ) from None
        except PermissionError:
            raise Forbidden(
                f"the socket {self.path} is another user's",
                hint="ask as the user who runs the orchestrator, or as root",
            ) from None


def _answer(response: http.client.HTTPResponse, called: str) -> Answer:
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, headers, response.read(), called)


class _Connection(http.client.HTTPConnection):
    """HTTP on a unix socket."""

    def __init__(self, path: Path, timeout_s: float | None) -> None:
        super().__init__("orchestrator", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket instead of an address."""
        self.sock: socket.socket = unix_socket.connect(self._path, timeout_s=self.timeout)
