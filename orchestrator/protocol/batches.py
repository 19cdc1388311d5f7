"""Batches: many jobs that are asked for together, looked at together and ended together."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field, model_validator

from orchestrator.protocol import limits
from orchestrator.protocol.base import JobId, Name, Reply, Request
from orchestrator.protocol.jobs import Comment, JobFields
from orchestrator.protocol.words import BatchState, IfTaken, JobState, OnFailure, WaitsFor


class BatchDependency(Request):
    """What an item waits for: a job that is there, or another item of the same call.

    `item` is the place of the other one in the call's list, from 0.
    """

    job: JobId | None = None
    item: int | None = Field(default=None, ge=0, lt=limits.BATCH_ITEMS)
    on: WaitsFor = WaitsFor.SUCCESS
    on_failure: OnFailure = OnFailure.FAIL

    @model_validator(mode="after")
    def _one(self) -> "BatchDependency":
        if (self.job is None) == (self.item is None):
            msg = "name either a job by its id, or an item by its place in this call"
            raise ValueError(msg)
        return self


class BatchItem(JobFields):
    """One job of a batch: as a job alone, but that it may depend on other items."""

    depends_on: list[BatchDependency] = Field(default=[], max_length=limits.DEPENDENCIES)

    @model_validator(mode="after")
    def _each_once(self) -> "BatchItem":
        if len({(one.job, one.item) for one in self.depends_on}) < len(self.depends_on):
            msg = "depends_on names something twice"
            raise ValueError(msg)
        if self.unique is not None:
            msg = "unique: a job of a batch cannot be the only one; submit it alone"
            raise ValueError(msg)
        if any(one.strategy is not IfTaken.WAIT for one in self.concurrency):
            msg = "concurrency: a job of a batch waits for its keys; submit alone what does not"
            raise ValueError(msg)
        return self


Fields = dict[str, Any]
Items = Annotated[list[Fields], Field(max_length=limits.BATCH_ITEMS)]


class BatchRequest(Request):
    """Many jobs. Each item has the form of a job; what it leaves out is taken from `defaults`.

    `params`, `env` and `labels` of an item are added to those of the defaults. More failed jobs
    than `max_fails` cancel the rest. A batch that is `open` takes more items, until it is closed.
    """

    name: Name | None = None
    defaults: Fields = {}
    items: Items = []
    max_fails: int | None = Field(default=None, ge=0, le=2**31)
    open: bool = False

    @model_validator(mode="after")
    def _has_any(self) -> "BatchRequest":
        if not self.items and not self.open:
            msg = "a batch without items stays empty: give items, or say open: true"
            raise ValueError(msg)
        return self


class AppendRequest(Request):
    """More jobs for a batch that is open; what they leave out is taken from its `defaults`."""

    items: list[Fields] = Field(min_length=1, max_length=limits.BATCH_ITEMS)


class BatchOrder(Request):
    """Why something is done to a batch, for the people who look at it later."""

    comment: Comment | None = None


class BatchView(Reply):
    """A batch, and how many of its jobs are in which state.

    It is `done` when it takes no more jobs and all of them are over, and has `succeeded` when all
    of them did, or those that they were tried again as. `failed` counts those that failed of
    themselves and were not tried again: what `max_fails` is compared with. `repeatable` counts what
    `retry-failed` would submit anew: they as well, and those that only failed with another one.
    """

    id: str
    name: str | None = None
    owner: str = ""
    state: BatchState
    max_fails: int | None = None
    created_at: datetime
    closed_at: datetime | None = None
    stopped_at: datetime | None = None
    stopped_by: str | None = None
    jobs: int = 0
    counts: dict[JobState, int] = {}
    failed: int = 0
    repeatable: int = 0
    done: bool = False
    succeeded: bool = False


class BatchReply(BatchView):
    """A batch after jobs were added to it: theirs are `job_ids`, in the order of the items.

    `more` says that there are more to be tried again than one call does.
    """

    job_ids: list[str] = []
    more: bool = False
