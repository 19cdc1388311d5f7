"""Whether a worker is given jobs, after jobs have failed on it for reasons of its machine.

A circuit breaker, as one table. *Closed*, the worker is given what fits it. *Open*, it is given
nothing for a while. *Half open*, it is given one job, the canary, whose end decides. *Forced*, a
person keeps it out, and only a person lets it in again.

What a failure says about a machine is judged here as well. A job's own failure says nothing, unless
the same job succeeded elsewhere; a job that fails everywhere is itself at fault.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

from orchestrator.kernel.errors import IllegalTransition
from orchestrator.protocol.words import BreakerState as S
from orchestrator.protocol.words import Reason

SECOND_US: Final = 1_000_000
WINDOW_US: Final = 600 * SECOND_US
"""Failures that lie further back than ten minutes say nothing about the machine as it is now."""
JOBS: Final = 3
"""Different jobs that must have failed: one may be broken, and two may be a coincidence."""
FIRST_PAUSE_US: Final = 60 * SECOND_US
LONGEST_PAUSE_US: Final = 1800 * SECOND_US
REMEMBERED_US: Final = 3600 * SECOND_US
"""A worker that is opened again within the hour pauses longer than before."""
OF_THE_MACHINE: Final = frozenset(
    {Reason.SPAWN_ERROR, Reason.DISK_FULL, Reason.OOM, Reason.WORKER_LOST}
)
"""Reasons that may lie in the machine; all others are the job's own until it succeeds elsewhere."""


class BreakerEvent(StrEnum):
    """What can happen to a breaker."""

    TRIPPED = "tripped"
    PAUSED_ENOUGH = "paused_enough"
    PROVEN = "proven"
    FAILED_AGAIN = "failed_again"
    CLEARED = "cleared"
    QUARANTINED = "quarantined"
    RELEASED = "released"


E = BreakerEvent

TRANSITIONS: Final = MappingProxyType(
    {
        (S.CLOSED, E.TRIPPED): S.OPEN,
        (S.CLOSED, E.QUARANTINED): S.FORCED,
        (S.OPEN, E.PAUSED_ENOUGH): S.HALF_OPEN,
        (S.OPEN, E.PROVEN): S.CLOSED,  # it served, because nobody else could, and that was well
        (S.OPEN, E.CLEARED): S.CLOSED,
        (S.OPEN, E.QUARANTINED): S.FORCED,
        (S.OPEN, E.RELEASED): S.CLOSED,
        (S.HALF_OPEN, E.PROVEN): S.CLOSED,
        (S.HALF_OPEN, E.FAILED_AGAIN): S.OPEN,
        (S.HALF_OPEN, E.CLEARED): S.CLOSED,
        (S.HALF_OPEN, E.QUARANTINED): S.FORCED,
        (S.HALF_OPEN, E.RELEASED): S.CLOSED,
        (S.FORCED, E.QUARANTINED): S.FORCED,  # with another reason
        (S.FORCED, E.RELEASED): S.CLOSED,
    }
)


@dataclass(frozen=True, slots=True)
class Breaker:
    """A worker's breaker. `opened_us` is when this quarantine began, over all its pauses.

    `cause` is set when jobs failed that succeeded elsewhere: what the canary must not fail with.
    """

    state: S = S.CLOSED
    since_us: int = 0
    opened_us: int = 0
    next_us: int | None = None
    trips: int = 0
    why: str | None = None
    cause: Reason | None = None
    by: str | None = None

    def is_due(self, now_us: int) -> bool:
        """Tell whether its pause is over."""
        return self.state is S.OPEN and self.next_us is not None and self.next_us <= now_us


def happened(  # noqa: PLR0913 - what it is told of each event
    breaker: Breaker,
    event: BreakerEvent,
    *,
    now_us: int,
    draw: float = 0.0,
    why: str | None = None,
    cause: Reason | None = None,
    by: str | None = None,
) -> Breaker:
    """Return the breaker after it, or raise `IllegalTransition`. `draw` is for the jitter."""
    state = TRANSITIONS.get((breaker.state, event))
    if state is None:
        message = f"a worker whose breaker is {breaker.state} cannot have {event}"
        raise IllegalTransition(message)
    new = replace(breaker, state=state, since_us=now_us, next_us=None)
    if state is S.CLOSED:
        trips = 0 if event in {E.RELEASED, E.CLEARED} else breaker.trips
        return replace(new, trips=trips, opened_us=0, why=None, cause=None, by=None)
    if breaker.state is S.CLOSED:
        new = replace(new, opened_us=now_us)
    if state is S.FORCED:
        return replace(new, why=why, cause=None, by=by)
    if state is S.OPEN:
        trips = _trips(breaker, now_us)
        pause_us = longest_pause_us(trips) * (1 + draw) / 2
        new = replace(new, trips=trips, why=why, next_us=now_us + round(pause_us))
        return replace(new, cause=cause if event is E.TRIPPED else breaker.cause)
    return new


def _trips(breaker: Breaker, now_us: int) -> int:
    """Return how many times in a row it was opened, this one included."""
    forgotten = breaker.state is S.CLOSED and now_us - breaker.since_us > REMEMBERED_US
    return 1 if forgotten else breaker.trips + 1


def longest_pause_us(trips: int) -> int:
    """Return how long a pause may be: it is drawn from the upper half below that."""
    return int(min(LONGEST_PAUSE_US, FIRST_PAUSE_US * 2 ** min(trips - 1, 16)))


class Fault(NamedTuple):
    """A try that failed here.

    `incident` is what several tries may have in common: a machine that loses its power loses all
    its jobs, and that is one thing that happened; otherwise it is the job. `elsewhere` says that
    the same job succeeded on another worker.
    """

    job_id: str
    reason: Reason
    incident: str
    at_us: int
    elsewhere: bool = False


class Verdict(NamedTuple):
    """Why a worker is not to be trusted, in words, and with what its canary must not fail."""

    why: str
    cause: Reason | None = None


def judge(faults: Iterable[Fault], *, now_us: int) -> Verdict | None:
    """Return why the worker should be given nothing, or `None` if nothing says so."""
    recent = [fault for fault in faults if fault.at_us > now_us - WINDOW_US]
    own = [fault for fault in recent if fault.reason in OF_THE_MACHINE]
    if len({fault.incident for fault in own}) >= JOBS:
        jobs = len({fault.job_id for fault in own})
        reasons = ", ".join(sorted({fault.reason for fault in own}))
        return Verdict(f"{jobs} different jobs failed here one after another ({reasons})")
    proven: dict[Reason, set[str]] = defaultdict(set)
    for fault in recent:
        if fault.elsewhere:
            proven[fault.reason].add(fault.job_id)
    for reason, same in sorted(proven.items()):
        if len(same) >= JOBS:
            why = f"{len(same)} different jobs failed here ({reason}) and succeeded elsewhere"
            return Verdict(why, reason)
    return None


def is_against(breaker: Breaker, reason: Reason | None) -> bool:
    """Tell whether a canary that failed for that reason speaks against its machine."""
    return reason is not None and (reason in OF_THE_MACHINE or reason is breaker.cause)
