"""Where a job waits, and what may keep it back: its queue, the keys that it holds, its rates."""

from typing import Annotated, TypeVar

from pydantic import AfterValidator, Field

from orchestrator.protocol import limits
from orchestrator.protocol.base import Label, Name, Request
from orchestrator.protocol.words import PLAIN_NAME, IfTaken

QueueName = Annotated[
    Label, Field(min_length=1, max_length=limits.QUEUE_CHARS, pattern=f"^{PLAIN_NAME}$")
]


class Concurrency(Request):
    """A key that at most `limit` jobs hold at the same time: those with an attempt that lives.

    When it is taken, the job waits for its turn, is refused at once, or makes those that came
    before it give way.
    """

    key: Name
    limit: int = Field(default=1, ge=1, le=limits.CONCURRENCY_MAX)
    strategy: IfTaken = IfTaken.WAIT


class RateLimit(Request):
    """At most `count` jobs with that key start in any `per_s` seconds."""

    key: Name
    count: int = Field(ge=1, le=limits.RATE_COUNT_MAX)
    per_s: float = Field(gt=0, le=limits.RATE_WINDOW_MAX_S)


Keyed = TypeVar("Keyed", Concurrency, RateLimit)


def _each_key_once(value: tuple[Keyed, ...]) -> tuple[Keyed, ...]:
    keys = [one.key for one in value]
    twice = next((key for key in keys if keys.count(key) > 1), None)
    if twice is not None:
        msg = f"{twice!r} is given twice: one limit for each key"
        raise ValueError(msg)
    return value


ConcurrencyKeys = Annotated[
    tuple[Concurrency, ...],
    Field(max_length=limits.CONCURRENCY_KEYS),
    AfterValidator(_each_key_once),
]
RateLimits = Annotated[
    tuple[RateLimit, ...], Field(max_length=limits.RATE_LIMITS), AfterValidator(_each_key_once)
]
