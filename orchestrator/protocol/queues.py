"""What may be said of a queue."""

import re
from typing import Final

from pydantic import Field

from orchestrator.protocol import limits
from orchestrator.protocol.base import Request, Why
from orchestrator.protocol.jobs import Retry
from orchestrator.protocol.words import PLAIN_NAME

_NAME: Final = re.compile(PLAIN_NAME)


def is_queue_name(text: str) -> bool:
    """Tell whether a queue could have that name."""
    return len(text) <= limits.QUEUE_CHARS and _NAME.fullmatch(text) is not None


class QueueDefaults(Request):
    """What a queue gives to jobs that do not say it themselves."""

    priority: int | None = Field(default=None, ge=limits.PRIORITY_MIN, le=limits.PRIORITY_MAX)
    timeout_s: float | None = Field(default=None, gt=0, le=limits.TIMEOUT_MAX_S)
    retry: Retry | None = None


class QueueSettings(Request):
    """How a queue is served. What is left out stays as it is; null takes a limit or default away.

    Beside another queue it is given `weight` jobs for each one that a queue of weight 1 is given.
    At most `max_running` of its jobs have an attempt at the same time.
    """

    weight: int = Field(default=1, ge=1, le=limits.QUEUE_WEIGHT_MAX)
    max_running: int | None = Field(default=None, ge=0, le=limits.RUNNING_MAX)
    defaults: QueueDefaults = QueueDefaults()


class PauseRequest(Request):
    """Why a queue is paused, for the people whose jobs wait in it."""

    reason: Why | None = None
