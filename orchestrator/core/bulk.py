"""What can be done to all jobs that a filter means, and to which of them it can be done."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from types import MappingProxyType
from typing import Final

from orchestrator.core.job_lifecycle import PENDING, TERMINAL
from orchestrator.protocol.words import BulkAction, JobState

APPLICABLE: Final[Mapping[BulkAction, frozenset[JobState]]] = MappingProxyType(
    {
        BulkAction.CANCEL: frozenset(JobState) - TERMINAL - {JobState.CANCELLING},
        BulkAction.HOLD: PENDING - {JobState.HELD},
        BulkAction.RELEASE: frozenset({JobState.HELD}),
        BulkAction.RETRY: TERMINAL,
        BulkAction.PRIORITY: PENDING,
        BulkAction.QUEUE: PENDING,
        BulkAction.DELETE: TERMINAL,
    }
)
"""In which states a job can be given that order; others are not counted and not touched."""

_TOKEN: Final = re.compile(r"([0-9a-z]{26})\.([0-9]{1,16})\.([0-9]{1,12})\.([0-9a-f]{32})")


@dataclass(frozen=True, slots=True)
class Preview:
    """What an order would be done to, as it was at a moment: the set is fixed by these.

    `upto` is the last job that was there, `at_us` the moment from which ages are counted.
    """

    upto: str
    at_us: int
    count: int

    def token(self, order: str) -> str:
        """Return the words by which this order is given for these jobs, and for no others.

        It is no secret: whoever makes one up has only skipped looking.
        """
        said = f"{self.upto.removeprefix('job_')}.{self.at_us}.{self.count}"
        return f"{said}.{_digest(said, order)}"


def previewed(token: str, order: str) -> Preview | None:
    """Return what a token stands for, or `None` if it was not made for this order."""
    match = _TOKEN.fullmatch(token)
    if match is None:
        return None
    preview = Preview(f"job_{match[1]}", int(match[2]), int(match[3]))
    return preview if preview.token(order) == token else None


def _digest(said: str, order: str) -> str:
    return sha256(f"{said}\0{order}".encode()).hexdigest()[:32]
