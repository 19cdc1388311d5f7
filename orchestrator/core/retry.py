"""Whether, and when, a job is tried again.

The job's own failures and the losses of its workers are counted apart: a machine that was switched
off must not use up the tries that its owner allowed for a flaky test, and a job that kills every
worker it meets must still come to an end.
"""

import re
from dataclasses import dataclass
from typing import Final

from orchestrator.kernel.backoff import Backoff
from orchestrator.protocol.words import Reason

LOST_BACKOFF: Final = Backoff(initial_s=1.0, factor=2.0, max_s=60.0)
"""A lost attempt is tried again soon: the next worker is most likely healthy."""
TIMEOUTS: Final = frozenset({Reason.TIMEOUT_RUN, Reason.TIMEOUT_SILENCE, Reason.TIMEOUT_TOTAL})
_EXIT: Final = re.compile(r"exit:(\d{1,3})(?:-(\d{1,3}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Failure:
    """How a job failed by itself, as far as a policy may look at it."""

    reason: Reason | None = None
    exit_code: int | None = None


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a job's own failures are tried again, which of them, and with what pauses."""

    max_attempts: int = 1
    backoff: Backoff = Backoff(initial_s=2.0, factor=2.0, max_s=300.0)
    on: tuple[str, ...] = ("any",)

    def allows(self, failures: int, failure: Failure) -> bool:
        """Tell whether a job may be tried once more that failed `failures` times, now like this."""
        return failures < self.max_attempts and any(covers(word, failure) for word in self.on)


def covers(word: str, failure: Failure) -> bool:
    """Tell whether a word of a policy means that failure; a word that is none means nothing."""
    codes = exit_codes(word)
    if codes is not None:
        return failure.reason is Reason.EXIT_NONZERO and failure.exit_code in codes
    if word == "timeout":
        return failure.reason in TIMEOUTS
    return word in {"any", failure.reason}


def exit_codes(word: str) -> range | None:
    """Return which codes `exit:75` or `exit:1-5` means, or `None` for what does not look so."""
    match = _EXIT.fullmatch(word)
    if match is None:
        return None
    first = int(match[1])
    return range(first, int(match[2] or first) + 1)


def due_after(backoff: Backoff, count: int, *, now_us: int, draw: float) -> int:
    """Return the moment of the next try, in microseconds since the epoch."""
    return now_us + round(backoff.delay(count, draw=draw) * 1_000_000)
