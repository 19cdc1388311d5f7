"""What workers call, as bare as it can be: read, parse once, one operation, answer.

Plain ASGI, because these calls are most of the traffic: between the bytes that come in and the
transaction there is one parser, and no framework.
"""

import secrets
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from pydantic import BaseModel, Field
from starlette.requests import Request as HttpRequest
from starlette.responses import FileResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from orchestrator.kernel.errors import InvariantViolated
from orchestrator.kernel.failpoints import reached
from orchestrator.protocol import limits
from orchestrator.protocol.base import JobId, Reply
from orchestrator.protocol.tokens import SECRET_BYTES, make_token
from orchestrator.protocol.wire import (
    AttemptNumber,
    ClaimRequest,
    EnrolRequest,
    GoodbyeRequest,
    HeartbeatRequest,
    RenewTokenRequest,
    ReportRequest,
    SessionId,
    SessionRequest,
)
from orchestrator.server.access.doorkeeper import principal_of
from orchestrator.server.api import calls
from orchestrator.server.api.calls import Call
from orchestrator.server.api.parsing import Query, parse_query, read_model
from orchestrator.server.edge.body import read_body
from orchestrator.server.live.claiming import wait_for_orders, wait_for_work
from orchestrator.server.operations.files import input_file
from orchestrator.server.operations.ownership import AttemptKey
from orchestrator.server.operations.report import report
from orchestrator.server.operations.sessions import goodbye, open_session
from orchestrator.server.operations.tokens import renew_token
from orchestrator.server.operations.workers import EnrolIds, enrol
from orchestrator.server.output_intake import OutputIntake
from orchestrator.server.services import Services

Answer = Callable[[Scope, Receive], Awaitable[BaseModel]]
_JSON: Final = (b"content-type", b"application/json")


class AttemptQuery(Query):
    """Which attempt a call without a JSON body is about."""

    session_id: SessionId
    job_id: JobId
    attempt: AttemptNumber

    def key(self) -> AttemptKey:
        """Return it as the store knows it."""
        return AttemptKey(self.job_id, self.attempt, self.session_id)


class OutputQuery(AttemptQuery):
    """Where in an attempt's log the frames of the body begin."""

    offset: int = Field(ge=0, lt=2**62)


class _Answering:
    """An ASGI application that answers with a model."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send what the call gives."""
        body = (await self._answer(scope, receive)).model_dump_json().encode()
        headers = [_JSON, (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def worker_of(scope: Scope) -> str:
    """Return which worker calls: from its credential, never from what it says."""
    worker_id = principal_of(scope).worker_id
    if worker_id is None:
        raise InvariantViolated("the scope of workers was given to somebody else")
    return worker_id


class WorkerCalls:
    """The handlers."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._store = services.store
        self._intake = OutputIntake(services.store, services.outputs, services.reserve)

    async def enrol(self, scope: Scope, receive: Receive) -> BaseModel:
        """Let a worker in."""
        request = await read_model(scope, receive, EnrolRequest)
        ids = EnrolIds(
            self._services.new_id("machine"),
            self._services.new_id("worker"),
            make_token("secret", secrets.token_bytes(SECRET_BYTES)),
        )
        return await self._store.write(partial(enrol, request=request, ids=ids))

    async def token(self, scope: Scope, receive: Receive) -> BaseModel:
        """Give a worker another token."""
        request = await read_model(scope, receive, RenewTokenRequest)
        secret = make_token("secret", secrets.token_bytes(SECRET_BYTES))
        return await self._store.write(
            partial(
                renew_token,
                worker_id=worker_of(scope),
                used=principal_of(scope).token_hash,
                secret=secret,
                overlap_s=request.overlap_s,
            )
        )

    async def sessions(self, scope: Scope, receive: Receive) -> BaseModel:
        """Begin a session."""
        request = await read_model(scope, receive, SessionRequest)
        reply = await self._store.write(
            partial(
                open_session,
                request=request,
                worker_id=worker_of(scope),
                session_id=self._services.new_id("session"),
            )
        )
        reached("session.after_commit")
        return reply

    async def claim(self, scope: Scope, receive: Receive) -> BaseModel:
        """Give attempts, waiting for them if need be."""
        request = await read_model(scope, receive, ClaimRequest)
        dispatch = self._services.dispatch
        worker_id = worker_of(scope)
        return await wait_for_work(self._store, dispatch, request, receive, worker_id=worker_id)

    async def report(self, scope: Scope, receive: Receive) -> BaseModel:
        """Take in what happened."""
        request = await read_model(scope, receive, ReportRequest, limit=limits.REPORT_BYTES)
        worker_id = worker_of(scope)
        await self._intake.take_large(request, worker_id=worker_id)
        reply = await self._store.write(partial(report, request=request, worker_id=worker_id))
        reached("report.after_commit")
        return reply

    async def heartbeat(self, scope: Scope, receive: Receive) -> BaseModel:
        """Renew a session, waiting for orders if need be."""
        request = await read_model(scope, receive, HeartbeatRequest)
        bus = self._services.bus
        worker_id = worker_of(scope)
        return await wait_for_orders(self._store, bus, request, receive, worker_id=worker_id)

    async def goodbye(self, scope: Scope, receive: Receive) -> BaseModel:
        """End a session."""
        request = await read_model(scope, receive, GoodbyeRequest)
        worker_id = worker_of(scope)
        await self._store.write(partial(goodbye, request=request, worker_id=worker_id))
        return Reply()

    async def output(self, scope: Scope, receive: Receive) -> BaseModel:
        """Store output frames."""
        query = parse_query(OutputQuery, HttpRequest(scope))
        frames = await read_body(receive, limit=limits.OUTPUT_POST_BYTES)
        worker_id = worker_of(scope)
        return await self._intake.take(query.key(), query.offset, frames, worker_id=worker_id)


class InputFile:
    """Sends an input of an attempt that is the caller's."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Find it, and send it."""
        query = parse_query(AttemptQuery, HttpRequest(scope))
        sha256 = scope["path_params"]["sha256"]
        found = await self._services.store.read(
            partial(input_file, sha256=sha256, key=query.key(), worker_id=worker_of(scope))
        )
        path = self._services.files.path_of(found.sha256)
        answer = FileResponse(path, media_type="application/octet-stream")
        await answer(scope, receive, send)


def hot_calls(services: Services) -> dict[Call, ASGIApp]:
    """Return what answers each call without parameters in its path."""
    given = WorkerCalls(services)
    answers: dict[Call, Answer] = {
        calls.ENROL: given.enrol,
        calls.TOKEN: given.token,
        calls.SESSIONS: given.sessions,
        calls.CLAIM: given.claim,
        calls.REPORT: given.report,
        calls.HEARTBEAT: given.heartbeat,
        calls.GOODBYE: given.goodbye,
        calls.OUTPUT: given.output,
    }
    return {call: _Answering(answer) for call, answer in answers.items()}
