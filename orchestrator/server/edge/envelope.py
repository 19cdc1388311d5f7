"""The outermost middleware: answers leave with an id and safe headers, errors as problems.

It knows no route. It is the one place around a request that catches everything, so that no
traceback ever reaches a client, and so that what escapes is written to the log once.
"""

import asyncio
import itertools
import logging
import re
import secrets
import traceback
from collections.abc import MutableMapping
from typing import Any, Final

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.kernel import logs
from orchestrator.kernel.errors import OrchestratorError, Unavailable
from orchestrator.protocol.views import Problem
from orchestrator.server.api.problems import (
    MEDIA_TYPE,
    headers_of,
    internal_problem,
    problem_of,
    status_of,
)

_LOGGER: Final = logging.getLogger(__name__)
REQUEST_ID: Final = "orchestrator.request_id"
"""The key of a request's id in its scope."""
_GIVEN_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}")
SAFE_HEADERS: Final[tuple[tuple[bytes, bytes], ...]] = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'; sandbox"),
)
"""An API has no page to protect, but a browser that is tricked into showing an answer has."""
CUT_OFF: Final = Unavailable(
    "the server stops, and does not know whether this will be done",
    hint="ask again; with an Idempotency-Key it is done once",
)
_NO_STORE: Final = (b"cache-control", b"no-store")


def request_id_of(scope: Scope) -> str | None:
    """Return the id under which the log and the client know this request."""
    found: str | None = scope.get(REQUEST_ID)
    return found


def problem_headers(more: dict[str, str]) -> list[tuple[bytes, bytes]]:
    """Return the headers of an answer that carries a problem, and `more`."""
    named = {"content-type": MEDIA_TYPE, **more}
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in named.items()]


class Envelope:
    """What goes round everything else."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        # One random word for each start and a number: as unique as chance, and it tells the order.
        self._word = secrets.token_hex(5)
        self._numbers = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever happens inside."""
        if scope["type"] != "http":
            return
        request_id = scope[REQUEST_ID] = self._id(scope)
        stamp = (b"x-request-id", request_id.encode())
        started = False

        async def send_dressed(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                _dress(message, stamp)
            await send(message)

        async def tell(problem: Problem, more: dict[str, str]) -> None:
            if not started:
                await send_problem(send_dressed, problem, more)

        try:
            await self._app(scope, receive, send_dressed)
        except ClientDisconnect:
            pass  # nobody is left to be answered
        except OrchestratorError as error:
            _log_if_ours(error, scope)
            await tell(problem_of(error, request_id), headers_of(error))
        except asyncio.CancelledError:
            # Only a stop of the server cuts off a request; uvicorn alone would say 500 and no more.
            await tell(problem_of(CUT_OFF, request_id), headers_of(CUT_OFF))
            raise
        except Exception:  # noqa: BLE001  # around a request: the log gets it, the client an id
            _log_fault(scope)
            await tell(internal_problem(request_id), {})

    def _id(self, scope: Scope) -> str:
        """Return the client's own id if it is one that a log can bear, else a new one."""
        for name, value in scope["headers"]:
            if name == b"x-request-id" and _GIVEN_ID.fullmatch(value):
                return str(value, "ascii")
        return f"req_{self._word}_{next(self._numbers)}"


def _log_if_ours(error: OrchestratorError, scope: Scope) -> None:
    if status_of(error) == 500:
        _log_fault(scope)


def _log_fault(scope: Scope) -> None:
    logs.event(
        _LOGGER,
        logging.ERROR,
        "request.failed",
        trace=traceback.format_exc(),
        request_id=request_id_of(scope),
        method=scope["method"],
        path=scope["path"],
    )


def _dress(message: MutableMapping[str, Any], stamp: tuple[bytes, bytes]) -> None:
    """Add the safe headers to the start of an answer; what a route says of caching stands."""
    headers = list(message.get("headers", ()))
    if not any(name == b"cache-control" for name, _ in headers):
        headers.append(_NO_STORE)
    headers.append(stamp)
    headers.extend(SAFE_HEADERS)
    message["headers"] = headers


async def send_problem(send: Send, problem: Problem, more: dict[str, str]) -> None:
    """Send a problem as a whole answer."""
    body = problem.model_dump_json(exclude_none=True).encode()
    headers = problem_headers(more)
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
