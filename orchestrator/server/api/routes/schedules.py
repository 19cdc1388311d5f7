"""Schedules: make, change, pause and look at them, and see before what they would do."""

from collections.abc import Callable
from functools import partial
from typing import Annotated

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends, Query
from fastapi import Request as HttpRequest
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from orchestrator.kernel.errors import NotFound
from orchestrator.protocol import limits
from orchestrator.protocol.schedules import (
    FireView,
    SchedulePatch,
    SchedulePreview,
    ScheduleSpec,
    ScheduleView,
)
from orchestrator.protocol.views import JobView, Page
from orchestrator.server.access.doorkeeper import principal_of
from orchestrator.server.access.rights import asked_by, require
from orchestrator.server.api.answers import json_answer
from orchestrator.server.api.once import done_once
from orchestrator.server.api.openapi import takes
from orchestrator.server.api.parsing import json_body, no_query
from orchestrator.server.api.routes.jobs import check_kind
from orchestrator.server.operations import schedules as deeds
from orchestrator.server.operations.fires import run_now
from orchestrator.server.operations.schedule_records import find_schedule
from orchestrator.server.services import Services
from orchestrator.server.store.interface import Transaction

SCHEDULES = "/api/v1/schedules"


def known_schedule(schedule: str) -> str:
    """Return the name or id of a schedule; what could be neither is answered as if unknown."""
    if len(schedule) > limits.TAG_CHARS:
        raise NotFound("there is no such schedule", hint="`orchestrator schedules list` shows them")
    return schedule


Name = Annotated[str, Depends(known_schedule)]
Given = Annotated[tuple[ScheduleSpec, bytes], Depends(json_body(ScheduleSpec))]
Patched = Annotated[tuple[SchedulePatch, bytes], Depends(json_body(SchedulePatch))]


class ListQuery(BaseModel):
    """Which page of the schedules."""

    model_config = ConfigDict(extra="forbid")

    cursor: str = Field(default="", max_length=limits.TAG_CHARS, pattern=r"^[A-Za-z0-9._-]*$")
    limit: int = Field(default=limits.PAGE_DEFAULT, ge=1, le=limits.PAGE_MAX)


class PreviewQuery(BaseModel):
    """How many fires."""

    model_config = ConfigDict(extra="forbid")

    count: int = Field(default=limits.PREVIEWED, ge=1, le=limits.PAGE_MAX)


class HistoryQuery(BaseModel):
    """Which page of a history."""

    model_config = ConfigDict(extra="forbid")

    cursor: str | None = Field(default=None, pattern=r"^[0-9]{1,18}\.(gap|person|rule)$")
    limit: int = Field(default=limits.PAGE_DEFAULT, ge=1, le=limits.PAGE_MAX)


def routes(services: Services) -> APIRouter:
    """Return the routes of schedules."""
    router = APIRouter(prefix=SCHEDULES, tags=["schedules"])
    _looking(router, services)
    _changing(router, services)
    return router


def _looking(router: APIRouter, services: Services) -> None:
    store = services.store
    one_at_a_time = CapacityLimiter(1)

    def now_us() -> int:
        return round(services.clock.now() * 1_000_000)

    async def reckoned(preview: Callable[[], SchedulePreview]) -> Response:
        # Moments that come once in four years take milliseconds each, and nobody waits for them.
        return json_answer(await to_thread.run_sync(preview, limiter=one_at_a_time))

    @router.get("", response_model=Page[ScheduleView])
    async def list_all(query: Annotated[ListQuery, Query()]) -> Response:
        """List schedules by name."""
        deed = partial(deeds.list_schedules, after=query.cursor, limit=query.limit)
        items, following = await store.read(deed)
        return json_answer(Page[ScheduleView](items=items, next_cursor=following))

    @router.post("/preview", response_model=SchedulePreview, openapi_extra=takes(ScheduleSpec))
    async def preview_new(given: Given, query: Annotated[PreviewQuery, Query()]) -> Response:
        """Show in words and by its next fires what a schedule would do, and keep nothing."""
        spec, body = given
        check_kind(spec.job, size=len(body))
        return await reckoned(partial(deeds.preview_new, spec, now_us=now_us(), count=query.count))

    @router.get("/{schedule}", response_model=ScheduleView, dependencies=[Depends(no_query)])
    async def get_one(schedule: Name) -> Response:
        """Show a schedule by its name or id."""
        return json_answer(await store.read(partial(deeds.show_schedule, name=schedule)))

    @router.get("/{schedule}/preview", response_model=SchedulePreview)
    async def preview_known(schedule: Name, query: Annotated[PreviewQuery, Query()]) -> Response:
        """Show what a schedule will do."""
        known = await store.read(partial(find_schedule, name=schedule))
        since = {"anchor_us": known.anchor_us, "now_us": now_us()}
        return await reckoned(partial(deeds.preview, known.spec, **since, count=query.count))

    @router.get("/{schedule}/history", response_model=Page[FireView])
    async def history(schedule: Name, query: Annotated[HistoryQuery, Query()]) -> Response:
        """Show every fire, and every moment that brought none, the newest first."""
        deed = partial(deeds.history, name=schedule, cursor=query.cursor, limit=query.limit)
        items, following = await store.read(deed)
        return json_answer(Page[FireView](items=items, next_cursor=following))


def _changing(router: APIRouter, services: Services) -> None:
    store = services.store

    @router.post(
        "",
        response_model=ScheduleView,
        status_code=201,
        openapi_extra=takes(ScheduleSpec),
        dependencies=[Depends(no_query)],
    )
    async def add(request: HttpRequest, given: Given) -> Response:
        """Keep a schedule. The same once more is the same; another of its name is refused."""
        spec, body = given
        check_kind(spec.job, size=len(body))
        principal, new = principal_of(request.scope), services.new_id("schedule")
        require(principal, asked_by(spec.job))
        deed = partial(deeds.add_schedule, schedule_id=new, owner=principal.name, spec=spec)
        return json_answer(await store.write(deed), 201)

    @router.patch(
        "/{schedule}",
        response_model=ScheduleView,
        openapi_extra=takes(SchedulePatch),
        dependencies=[Depends(no_query)],
    )
    async def edit(request: HttpRequest, schedule: Name, given: Patched) -> Response:
        """Change what is named of a schedule, from now on."""
        patch, body = given
        if patch.job is not None:
            check_kind(patch.job, size=len(body))
            require(principal_of(request.scope), asked_by(patch.job))
        deed = partial(deeds.edit_schedule, name=schedule, patch=patch)
        return json_answer(await store.write(deed))

    @router.delete("/{schedule}", status_code=204, dependencies=[Depends(no_query)])
    async def delete(schedule: Name) -> Response:
        """Forget a schedule and its history; its jobs stay."""
        await store.write(partial(deeds.delete_schedule, name=schedule))
        return Response(status_code=204)

    @router.post("/{schedule}/pause", response_model=ScheduleView, dependencies=[Depends(no_query)])
    async def pause(request: HttpRequest, schedule: Name) -> Response:
        """Let nothing fire until it is resumed. Twice is once."""
        by = principal_of(request.scope).name
        return json_answer(await store.write(partial(deeds.pause_schedule, name=schedule, by=by)))

    @router.post(
        "/{schedule}/resume", response_model=ScheduleView, dependencies=[Depends(no_query)]
    )
    async def resume(schedule: Name) -> Response:
        """Let it go on from now; what came meanwhile is told as skipped."""
        return json_answer(await store.write(partial(deeds.resume_schedule, name=schedule)))

    @router.post(
        "/{schedule}/run",
        response_model=JobView,
        status_code=201,
        dependencies=[Depends(no_query)],
    )
    async def run(request: HttpRequest, schedule: Name) -> Response:
        """Submit its job now, beside its own moments."""
        by, job_id = principal_of(request.scope).name, services.new_id("job")

        def deed(tx: Transaction) -> JobView:
            return run_now(tx, find_schedule(tx, schedule), job_id=job_id, by=by)

        done = await done_once(store, request.scope, b"", deed)
        return json_answer(done.reply, 201, done.headers)
