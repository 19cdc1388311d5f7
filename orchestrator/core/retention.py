"""For how long finished jobs are kept, by how they ended."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from orchestrator.protocol.words import JobState

DAY_US: Final = 24 * 3600 * 1_000_000
KEY_KEPT_US: Final = DAY_US
"""An idempotency key lives at least this long, and so does the job that it belongs to."""

CLASSES: Final[Mapping[JobState, str]] = MappingProxyType(
    {
        JobState.SUCCEEDED: "succeeded",
        JobState.CANCELLED: "succeeded",
        JobState.FAILED: "failed",
        JobState.EXPIRED: "failed",
    }
)
"""What nobody has to mend goes first: somebody knew of a cancel, but maybe not of an expiry."""


@dataclass(frozen=True, slots=True)
class Retention:
    """Days from a job's end, for each class."""

    succeeded_days: float = 30.0
    failed_days: float = 90.0

    def days(self, state: JobState) -> float:
        """Return for how many days a job is kept that ended in that state."""
        return self.failed_days if CLASSES[state] == "failed" else self.succeeded_days

    def before_us(self, state: JobState, now_us: int) -> int:
        """Return before which moment a job must have ended in that state to be forgotten."""
        kept_us = round(self.days(state) * DAY_US)
        return now_us - max(kept_us, KEY_KEPT_US)


USUAL: Final = Retention()
"""What counts unless somebody says otherwise."""
