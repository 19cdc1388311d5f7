"""Which other jobs may be there beside a job."""

from typing import Literal

from pydantic import Field, model_validator

from orchestrator.protocol import limits
from orchestrator.protocol.base import Name, Request
from orchestrator.protocol.words import JobState, OnConflict


class Unique(Request):
    """No other job with the same key may be there: one that is named, or what the job does.

    `scope` has the states of others that are in the way: unless it says otherwise all that are not
    over and, with `window_s`, `succeeded` as well. What is over counts for `window_s` since its
    submit.
    """

    key: Name | None = None
    by: Literal["params"] | None = None
    scope: tuple[JobState, ...] = Field(default=(), max_length=len(JobState))
    window_s: float | None = Field(default=None, gt=0, le=limits.TIMEOUT_MAX_S)
    on_conflict: OnConflict = OnConflict.RETURN

    @model_validator(mode="after")
    def _one_key(self) -> "Unique":
        if (self.key is None) == (self.by is None):
            msg = "give either a key, or by: params for a job that does the same"
            raise ValueError(msg)
        return self
