"""Jobs: submit, list, look, cancel."""

import re
from functools import partial
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Query
from fastapi import Request as HttpRequest
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json, to_json
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from orchestrator.core.job_filter import JobFilter, parse
from orchestrator.kernel.errors import NotFound, RequestInvalid
from orchestrator.kernel.failpoints import reached
from orchestrator.protocol import limits
from orchestrator.protocol.ids import is_id
from orchestrator.protocol.jobs import PARAMS, CancelRequest, JobFields, JobSpec
from orchestrator.protocol.views import Explanation, JobDetail, JobView, Page
from orchestrator.protocol.words import JobState
from orchestrator.server.access.doorkeeper import principal_of
from orchestrator.server.access.rights import asked_by, require
from orchestrator.server.api.answers import json_answer
from orchestrator.server.api.calls import JOBS
from orchestrator.server.api.faults import invalid, nearest
from orchestrator.server.api.once import done_once
from orchestrator.server.api.openapi import takes
from orchestrator.server.api.parsing import json_body, no_query, read_strictly, refuse_query
from orchestrator.server.api.versions import tagged
from orchestrator.server.live.waiting import finished_job
from orchestrator.server.operations.cancel import cancel, not_found
from orchestrator.server.operations.explain import explain
from orchestrator.server.operations.job_lists import Cursor, list_jobs
from orchestrator.server.operations.submit import submit
from orchestrator.server.services import Services

_WAIT: Final = re.compile(r"(?:^|[,;\s])wait\s*=\s*([0-9]{1,9})\s*(?:$|[,;])")


class JobQuery(BaseModel):
    """Which jobs, and which page of them."""

    model_config = ConfigDict(extra="forbid")

    state: list[JobState] = Field(default=[], max_length=len(JobState))
    kind: str | None = Field(default=None, max_length=limits.NAME_CHARS)
    name: str | None = Field(default=None, max_length=limits.NAME_CHARS)
    label: str | None = Field(
        default=None,
        pattern=r"^[^=]+=",
        max_length=limits.TAG_CHARS + limits.LABEL_CHARS + 1,
        description="key=value",
    )
    fingerprint: str | None = Field(
        default=None, pattern=r"^[0-9a-f]{16}$", description="of a group of failed jobs"
    )
    q: str | None = Field(
        default=None,
        max_length=limits.FILTER_CHARS,
        description="state:failed kind:command label:team=web created:<2h text",
    )
    sort: Literal["-created_at", "created_at"] = "-created_at"
    cursor: str | None = Field(default=None, pattern=r"^[0-9a-z]{26}$")
    limit: int = Field(default=limits.PAGE_DEFAULT, ge=1, le=limits.PAGE_MAX)

    def wanted(self, *, now_us: int) -> list[JobFilter]:
        """Return the filters that this asks for: all of them must mean a job."""
        key, _, value = (self.label or "").partition("=")
        fields = JobFilter(
            states=frozenset(self.state),
            kinds=_only(self.kind),
            names=_only(self.name),
            labels=frozenset({(key, value)}) if self.label else frozenset(),
            fingerprints=_only(self.fingerprint),
        )
        return [fields, parse(self.q or "", now_us=now_us)]

    def position(self) -> Cursor | None:
        """Return where the page begins. A cursor grants nothing, so a forged one gains nothing."""
        return Cursor(f"job_{self.cursor}") if self.cursor else None


def _only(value: str | None) -> frozenset[str]:
    return frozenset() if value is None else frozenset({value})


def known_job(job_id: str) -> str:
    """Return an id that could be a job's; what could not is answered like an unknown job."""
    if not is_id("job", job_id):
        raise NotFound("there is no such job", hint="the id of a job looks like job_01h…")
    return job_id


JobId = Annotated[str, Depends(known_job)]


class SubmitJob:
    """Accepts a job. It is durable when the answer arrives."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read, check, store, answer."""
        refuse_query(scope)
        spec, body = await read_strictly(scope, receive, JobSpec)
        check_kind(spec, size=len(body))
        principal = principal_of(scope)
        require(principal, asked_by(spec))
        job_id = self._services.new_id("job")
        deed = partial(submit, job_id=job_id, owner=principal.name, spec=spec)
        done = await done_once(self._services.store, scope, body, deed)
        reached("submit.after_commit")
        is_new = not done.replayed and spec.unique is None
        told = {"id": job_id} if is_new else from_json(done.reply)
        headers = {"location": f"{JOBS}/{told['id']}"} | done.headers
        await json_answer(done.reply, made(told), headers)(scope, receive, send)


def routes(services: Services) -> APIRouter:
    """Return the routes of jobs, but for the hot one."""
    router = APIRouter(prefix=JOBS, tags=["jobs"])
    store = services.store

    @router.get("", response_model=Page[JobView])
    async def list_all(query: Annotated[JobQuery, Query()]) -> Response:
        """List jobs, the newest first; a page may hold few, or none, and yet name the next."""
        wanted = query.wanted(now_us=round(services.clock.now() * 1_000_000))
        items, following = await store.read(
            lambda reader: list_jobs(
                reader,
                wanted,
                cursor=query.position(),
                limit=query.limit,
                oldest_first=query.sort == "created_at",
            )
        )
        cursor = following.job_id.removeprefix("job_") if following else None
        return json_answer(Page[JobView](items=items, next_cursor=cursor))

    @router.get("/{job_id}", response_model=JobDetail, dependencies=[Depends(no_query)])
    async def get_one(request: HttpRequest, job_id: JobId) -> Response:
        """Show a job; with `Prefer: wait=30`, wait up to that many seconds for its end.

        With `If-None-Match`, 304 says that nothing is new.
        """
        wait_s = _wait(request.headers.get("prefer", ""))
        job = await finished_job(store, services.bus, job_id, request.receive, wait_s=wait_s)
        if job is None:
            raise not_found(job_id)
        headers = {"preference-applied": f"wait={wait_s:g}"} if wait_s else {}
        return tagged(job, request.headers.get("if-none-match"), headers)

    @router.get("/{job_id}/explain", response_model=Explanation, dependencies=[Depends(no_query)])
    async def explain_job(job_id: JobId) -> Response:
        """Say why a job is not running: who lacks what, and who lacks least."""
        found = await store.read(lambda reader: explain(reader, job_id))
        if found is None:
            raise not_found(job_id)
        return json_answer(found)

    @router.post(
        "/{job_id}/cancel",
        response_model=JobView,
        openapi_extra=takes(CancelRequest, required=False),
        dependencies=[Depends(no_query)],
    )
    async def cancel_job(
        request: HttpRequest,
        job_id: JobId,
        given: Annotated[
            tuple[CancelRequest, bytes], Depends(json_body(CancelRequest, optional=True))
        ],
    ) -> Response:
        """Ask for a job's end. A finished job is answered unchanged."""
        order, body = given
        by = principal_of(request.scope).name
        deed = partial(cancel, job_id=job_id, by=by, comment=order.comment, force=order.force)
        done = await done_once(store, request.scope, body, deed, repeatable=True)
        reached("cancel.after_commit")
        return json_answer(done.reply, headers=done.headers)

    return router


def check_kind(spec: JobFields, *, size: int) -> None:
    """Refuse a kind that nobody knows, and params that its model refuses."""
    model = PARAMS.get(spec.kind)
    if model is None:
        near = nearest(spec.kind, list(PARAMS))
        meant = f"did you mean {near}? " if near else ""
        raise RequestInvalid(
            "the request is not valid: kind",
            hint=f"{meant}the known kinds are: {', '.join(sorted(PARAMS))}",
            fields=(("kind", "is not a known kind of job"),),
        )
    if size > limits.PARAMS_BYTES and len(to_json(spec.params)) > limits.PARAMS_BYTES:
        fault = f"must not be longer than {limits.PARAMS_BYTES} bytes as JSON"
        raise RequestInvalid(
            "the request is not valid: params",
            hint="upload what is large as a file, and name it in inputs",
            fields=(("params", fault),),
        )
    try:
        model.model_validate(spec.params)
    except ValidationError as error:
        raise invalid(error, model, below="params") from None


def made(told: dict[str, Any]) -> int:
    """Return the status of the answer to who wanted a job: a unique one may have been there."""
    return 200 if told.get("existing") else 201


def _wait(prefer: str) -> float:
    """Return the seconds of `Prefer: wait=…`; a preference may be granted in part."""
    match = _WAIT.search(prefer)
    return min(float(match[1]), limits.WAIT_MAX_S) if match else 0.0
