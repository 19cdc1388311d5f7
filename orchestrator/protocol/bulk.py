"""An order for all jobs that a filter means: what somebody sends, and how far it came."""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from orchestrator.protocol import limits
from orchestrator.protocol.base import Reply, Request, without_nul
from orchestrator.protocol.jobs import Comment
from orchestrator.protocol.waiting import QueueName
from orchestrator.protocol.words import BulkAction

Filter = Annotated[
    str, Field(min_length=1, max_length=limits.FILTER_CHARS), AfterValidator(without_nul)
]


class BulkOrder(Request):
    """What is to be done, and to which jobs. All of it is what a preview stands for.

    `force` is of a cancel alone, `priority` and `queue` each of the action of that name alone.
    """

    q: Filter
    action: BulkAction = Field(strict=False)
    comment: Comment | None = None
    force: bool = False
    priority: int | None = Field(default=None, ge=limits.PRIORITY_MIN, le=limits.PRIORITY_MAX)
    queue: QueueName | None = None

    @model_validator(mode="after")
    def _fits(self) -> "BulkOrder":
        if (self.priority is not None) != (self.action is BulkAction.PRIORITY):
            msg = "give priority with the action priority, and with no other"
            raise ValueError(msg)
        if (self.queue is not None) != (self.action is BulkAction.QUEUE):
            msg = "give queue with the action queue, and with no other"
            raise ValueError(msg)
        if self.force and self.action is not BulkAction.CANCEL:
            msg = "only a cancel can be forced"
            raise ValueError(msg)
        return self

    def canonical(self) -> str:
        """Return it as one text, however it was written."""
        return BulkOrder.model_dump_json(self, include=set(BulkOrder.model_fields))


class BulkRequest(BulkOrder):
    """An order, to be counted with `dry_run`, or to be done with the token of that count."""

    dry_run: bool = False
    token: str | None = Field(default=None, max_length=100)

    @model_validator(mode="after")
    def _looked(self) -> "BulkRequest":
        if self.dry_run == (self.token is not None):
            msg = "ask with dry_run first, then send the token that its answer has"
            raise ValueError(msg)
        return self


class BulkPreview(Reply):
    """How many jobs the order is for now; the token gives it for exactly these."""

    count: int
    token: str


class BulkView(Reply):
    """An order and how far it came.

    `refused` could not be done. `changed` is known at the end: how many jobs of the preview were
    not meant any more when it was their turn; below zero, how many more were. `failure` says why
    an order ended before that.
    """

    id: str
    action: BulkAction
    q: str
    owner: str
    count: int
    done: int
    refused: int
    changed: int | None = None
    failure: str | None = None
    created_at: datetime
    finished_at: datetime | None = None
