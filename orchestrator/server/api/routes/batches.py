"""Batches: many jobs in one call, all of them or none."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query
from fastapi import Request as HttpRequest
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import to_json
from starlette.responses import Response

from orchestrator.kernel.errors import NotFound, RequestInvalid
from orchestrator.protocol import limits
from orchestrator.protocol.batches import (
    AppendRequest,
    BatchItem,
    BatchOrder,
    BatchReply,
    BatchRequest,
    BatchView,
)
from orchestrator.protocol.ids import is_id
from orchestrator.protocol.views import JobView, Page
from orchestrator.protocol.words import JobState
from orchestrator.server.access.doorkeeper import principal_of
from orchestrator.server.api.answers import json_answer
from orchestrator.server.api.faults import SHOWN, invalid
from orchestrator.server.api.once import Deed, done_once
from orchestrator.server.api.openapi import takes
from orchestrator.server.api.parsing import json_body, no_query
from orchestrator.server.api.routes.jobs import check_kind
from orchestrator.server.operations.batch_views import (
    batch_jobs,
    defaults_of,
    get_batch,
    list_batches,
)
from orchestrator.server.operations.batches import (
    NewBatch,
    append,
    cancel_batch,
    close,
    create,
    retry_failed,
)
from orchestrator.server.services import Services

BATCHES: Final = "/api/v1/batches"
_TOGETHER: Final = ("params", "env", "labels")
"""Fields of an item that are added to those of the defaults."""
_ITEMS: Final = TypeAdapter(list[BatchItem])


class BatchQuery(BaseModel):
    """Which page."""

    model_config = ConfigDict(extra="forbid")

    cursor: str | None = Field(default=None, pattern=r"^[0-9a-z]{26}$")
    limit: int = Field(default=limits.PAGE_DEFAULT, ge=1, le=limits.PAGE_MAX)


class BatchJobsQuery(BatchQuery):
    """Which jobs of a batch, and which page of them."""

    state: list[JobState] = Field(default=[], max_length=len(JobState))


def known_batch(batch_id: str) -> str:
    """Return an id that could be a batch's; what could not is answered like an unknown one."""
    if not is_id("batch", batch_id):
        raise NotFound("there is no such batch", hint="the id of a batch looks like batch_01h…")
    return batch_id


BatchId = Annotated[str, Depends(known_batch)]
Created = Annotated[tuple[BatchRequest, bytes], Depends(json_body(BatchRequest))]
Appended = Annotated[tuple[AppendRequest, bytes], Depends(json_body(AppendRequest))]
Ordered = Annotated[tuple[BatchOrder, bytes], Depends(json_body(BatchOrder, optional=True))]


def items_of(items: Sequence[Mapping[str, Any]], defaults: Mapping[str, Any]) -> list[BatchItem]:
    """Return items as jobs, with what they leave out, or refuse all for what is wrong in any."""
    _check_size(items, defaults)
    merged = to_json([_merged(item, defaults) for item in items])
    try:
        found = _ITEMS.validate_json(merged)
    except ValidationError as error:
        raise invalid(error, BatchItem, below="items") from None
    size = len(merged)
    faults: list[tuple[str, str]] = []
    hint = None
    for index, item in enumerate(found):
        try:
            check_kind(item, size=size)
        except RequestInvalid as error:
            faults += [(f"items.{index}.{field}", fault) for field, fault in error.fields]
            hint = hint or error.hint
    if faults:
        names = ", ".join(dict.fromkeys(field for field, _ in faults[:SHOWN]))
        raise RequestInvalid(
            f"the request is not valid: {names}", hint=hint, fields=tuple(faults[:SHOWN])
        )
    return found


def _check_size(items: Sequence[Mapping[str, Any]], defaults: Mapping[str, Any]) -> None:
    """Refuse what is too much once each item has the defaults: a megabyte, a thousand times."""
    size, most = len(to_json(items)) + len(items) * len(to_json(defaults)), limits.BATCH_BYTES
    if size > most:
        fault = f"come to {size} bytes with what they take of the defaults; at most {most} may"
        raise RequestInvalid(
            "the request is not valid: items",
            hint="send fewer items in a call, or upload what is long and name it in inputs",
            fields=(("items", fault),),
        )


def _merged(item: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**defaults, **item}
    for name in _TOGETHER:
        ours, theirs = item.get(name), defaults.get(name)
        if isinstance(ours, dict) and isinstance(theirs, dict):
            merged[name] = {**theirs, **ours}
    return merged


def routes(services: Services) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix=BATCHES, tags=["batches"])
    _add_looks(router, services)
    _add_deeds(router, services)
    return router


def _add_looks(router: APIRouter, services: Services) -> None:
    store = services.store

    @router.get("", response_model=Page[BatchView])
    async def list_all(query: Annotated[BatchQuery, Query()]) -> Response:
        """List batches, the newest first."""
        cursor = f"batch_{query.cursor}" if query.cursor else None
        items, following = await store.read(partial(list_batches, cursor=cursor, limit=query.limit))
        rest = following.removeprefix("batch_") if following else None
        return json_answer(Page[BatchView](items=items, next_cursor=rest))

    @router.get("/{batch_id}", response_model=BatchView, dependencies=[Depends(no_query)])
    async def get_one(batch_id: BatchId) -> Response:
        """Show a batch, and how many of its jobs are in which state."""
        return json_answer(await store.read(partial(get_batch, batch_id=batch_id)))

    @router.get("/{batch_id}/jobs", response_model=Page[JobView])
    async def list_jobs(batch_id: BatchId, query: Annotated[BatchJobsQuery, Query()]) -> Response:
        """List the jobs of a batch in the order of its items."""
        cursor = f"job_{query.cursor}" if query.cursor else None
        items, following = await store.read(
            partial(
                batch_jobs,
                batch_id=batch_id,
                states=query.state,
                cursor=cursor,
                limit=query.limit,
            )
        )
        rest = following.removeprefix("job_") if following else None
        return json_answer(Page[JobView](items=items, next_cursor=rest))


def _add_deeds(router: APIRouter, services: Services) -> None:
    store = services.store

    def new_ids(count: int) -> list[str]:
        # In the order of the items, which one millisecond would otherwise not keep.
        return sorted(services.new_id("job") for _ in range(count))

    async def answered(
        request: HttpRequest, body: bytes, deed: Deed, *, status: int = 200
    ) -> Response:
        done = await done_once(store, request.scope, body, deed)
        return json_answer(done.reply, status, done.headers)

    @router.post(
        "",
        response_model=BatchReply,
        status_code=201,
        openapi_extra=takes(BatchRequest),
        dependencies=[Depends(no_query)],
    )
    async def create_batch(request: HttpRequest, given: Created) -> Response:
        """Submit many jobs, all of them or none; faults are told by the place of the item."""
        asked, body = given
        items = items_of(asked.items, asked.defaults)
        new = NewBatch(
            id=services.new_id("batch"),
            owner=principal_of(request.scope).name,
            name=asked.name,
            defaults=to_json(asked.defaults).decode(),
            max_fails=asked.max_fails,
            is_open=asked.open,
        )
        deed = partial(create, new=new, items=items, job_ids=new_ids(len(items)))
        return await answered(request, body, deed, status=201)

    @router.post(
        "/{batch_id}/jobs",
        response_model=BatchReply,
        status_code=201,
        openapi_extra=takes(AppendRequest),
        dependencies=[Depends(no_query)],
    )
    async def append_jobs(request: HttpRequest, batch_id: BatchId, given: Appended) -> Response:
        """Add jobs to a batch that is open, all of them or none."""
        asked, body = given
        items = items_of(asked.items, await store.read(partial(defaults_of, batch_id=batch_id)))
        deed = partial(append, batch_id=batch_id, items=items, job_ids=new_ids(len(items)))
        return await answered(request, body, deed, status=201)

    @router.post(
        "/{batch_id}/close",
        response_model=BatchReply,
        openapi_extra=takes(BatchOrder, required=False),
        dependencies=[Depends(no_query)],
    )
    async def close_batch(request: HttpRequest, batch_id: BatchId, given: Ordered) -> Response:
        """Take no more jobs."""
        return await answered(request, given[1], partial(close, batch_id=batch_id))

    @router.post(
        "/{batch_id}/cancel",
        response_model=BatchReply,
        openapi_extra=takes(BatchOrder, required=False),
        dependencies=[Depends(no_query)],
    )
    async def end_batch(request: HttpRequest, batch_id: BatchId, given: Ordered) -> Response:
        """End all jobs of a batch that are not over, and take no more."""
        asked, body = given
        by = principal_of(request.scope).name
        deed = partial(cancel_batch, batch_id=batch_id, by=by, comment=asked.comment)
        return await answered(request, body, deed)

    @router.post(
        "/{batch_id}/retry-failed",
        response_model=BatchReply,
        status_code=201,
        openapi_extra=takes(BatchOrder, required=False),
        dependencies=[Depends(no_query)],
    )
    async def retry_batch(request: HttpRequest, batch_id: BatchId, given: Ordered) -> Response:
        """Submit the failed jobs of a batch as new ones, each once; `more`: some are left."""
        owner = principal_of(request.scope).name
        ids = new_ids(limits.BATCH_ITEMS)
        deed = partial(retry_failed, batch_id=batch_id, owner=owner, job_ids=ids)
        return await answered(request, given[1], deed, status=201)
