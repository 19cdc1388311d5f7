"""The whole ASGI application: the rings around it, the routes in it."""

from functools import cache

from fastapi import FastAPI
from fastapi import Request as HttpRequest
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from orchestrator import __version__
from orchestrator.kernel.errors import OrchestratorError, RequestInvalid
from orchestrator.protocol.views import Problem
from orchestrator.server.access.doorkeeper import Doorkeeper
from orchestrator.server.api import openapi
from orchestrator.server.api.calls import FETCH, SUBMIT, Call
from orchestrator.server.api.faults import SHOWN, path, plain
from orchestrator.server.api.problems import (
    MEDIA_TYPE,
    headers_of,
    internal_problem,
    problem_of,
    status_of,
)
from orchestrator.server.api.routes import (
    amendments,
    batches,
    bulk,
    events,
    files,
    health,
    jobs,
    output,
    queues,
    repeats,
    retention,
    schedules,
    worker,
    workers,
)
from orchestrator.server.edge.envelope import Envelope, request_id_of
from orchestrator.server.edge.head import HeadChecks, Hosts
from orchestrator.server.edge.hot import Hot
from orchestrator.server.edge.refusals import Declined
from orchestrator.server.services import Services


def framework_application(services: Services) -> FastAPI:
    """Return all but the hot calls, and the document that describes everything."""
    app = FastAPI(
        title="orchestrator",
        version=__version__,
        description="Jobs for a pool of workers.",
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
        redirect_slashes=False,
        telemetry={"auto_configure": False},
        exception_handlers={
            OrchestratorError: _refused,
            RequestValidationError: _not_valid,
            HTTPException: _not_routed,
            Exception: _failed,
        },
    )
    for part in (
        health,
        jobs,
        amendments,
        repeats,
        batches,
        schedules,
        queues,
        events,
        output,
        files,
        workers,
        retention,
        bulk,
    ):
        app.include_router(part.routes(services))
    app.router.routes.append(Route(FETCH.path, worker.InputFile(services), methods=[FETCH.method]))
    app.openapi = cache(lambda: openapi.describe(app))  # type: ignore[method-assign]  # as FastAPI says
    return app


def hot_calls(services: Services) -> dict[tuple[str, str], ASGIApp]:
    """Return what answers the calls that go without a framework."""
    found: dict[Call, ASGIApp] = {SUBMIT: jobs.SubmitJob(services), **worker.hot_calls(services)}
    return {(call.method, call.path): app for call, app in found.items()}


def application(services: Services) -> ASGIApp:
    """Return everything, from the outermost ring to the routes."""
    inner = Hot(hot_calls(services), framework_application(services))
    guarded = Doorkeeper(inner, services.credentials, services.reserve)
    return Envelope(HeadChecks(guarded, Hosts(services.settings.allowed_hosts)))


def _answer(problem: Problem, headers: dict[str, str] | None = None) -> Response:
    body = problem.model_dump_json(exclude_none=True)
    return Response(body, problem.status, headers, MEDIA_TYPE)


async def _refused(request: HttpRequest, error: Exception) -> Response:
    if not isinstance(error, OrchestratorError) or status_of(error) == 500:
        raise error  # a fault of ours: the envelope writes it to the log
    return _answer(problem_of(error, request_id_of(request.scope)), headers_of(error))


async def _not_valid(request: HttpRequest, error: Exception) -> Response:
    """Tell a wrong query or header in the same form as a wrong body."""
    found = error.errors()[:SHOWN] if isinstance(error, RequestValidationError) else []
    fields = tuple((path(fault["loc"][1:]) or "query", plain(fault["msg"])) for fault in found)
    names = ", ".join(dict.fromkeys(name for name, _ in fields))
    refusal = RequestInvalid(
        f"the request is not valid: {names}",
        hint="GET /api/openapi.json describes every parameter",
        fields=fields,
    )
    return await _refused(request, refusal)


async def _not_routed(request: HttpRequest, error: Exception) -> Response:
    """Tell what the router refuses; the doorkeeper has refused nearly all of it before."""
    status = error.status_code if isinstance(error, HTTPException) else 404
    return await _refused(request, Declined(status, "not_found", "there is nothing at this path"))


async def _failed(request: HttpRequest, error: Exception) -> Response:  # noqa: ARG001  # the form
    """Answer a fault of ours; it is raised again behind this, for the envelope to log."""
    return _answer(internal_problem(request_id_of(request.scope)))
