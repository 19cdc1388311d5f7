"""Whether, and when, a job is tried again.

The job's own failures and the losses of its workers are counted apart: a machine that was switched
off must not use up the tries that its owner allowed for a flaky test, and a job that kills every
worker it meets must still come to an end.
"""

from dataclasses import dataclass
from typing import Final

from orchestrator.kernel.backoff import Backoff

LOST_BACKOFF: Final = Backoff(initial_s=1.0, factor=2.0, max_s=60.0)
"""A lost attempt is tried again soon: the next worker is most likely healthy."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a job's own failures are tried again, and with what pauses."""

    max_attempts: int = 1
    backoff: Backoff = Backoff(initial_s=2.0, factor=2.0, max_s=300.0)

    def allows(self, failures: int) -> bool:
        """Tell whether a job that failed `failures` times may be tried once more."""
        return failures < self.max_attempts


def due_after(backoff: Backoff, count: int, *, now_us: int, draw: float) -> int:
    """Return the moment of the next try, in microseconds since the epoch."""
    return now_us + round(backoff.delay(count, draw=draw) * 1_000_000)
