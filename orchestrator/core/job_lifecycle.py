"""The life of a job, as one table.

A job is what somebody asked for; an attempt is one try at it.  This module owns which job state
may follow which, and nothing else: it reads no clock, picks no worker, and does not know that a
database exists.

The table is the truth.  The SQL CHECK, the diagram in ORCHESTRATOR.md and the exhaustive test are
derived from it, so they cannot disagree with it.
"""

from enum import StrEnum
from types import MappingProxyType
from typing import Final

from orchestrator.kernel.errors import IllegalTransition
from orchestrator.protocol.words import JobState as S


class JobEvent(StrEnum):
    """What can happen to a job. Each is a fact, so the names are in the past tense."""

    FELL_DUE = "fell_due"
    DEPENDENCIES_MET = "dependencies_met"
    DEPENDENCIES_MET_EARLY = "dependencies_met_early"
    DEPENDENCY_FAILED = "dependency_failed"
    PUT_ON_HOLD = "put_on_hold"
    UNHELD_DUE = "unheld_due"
    UNHELD_EARLY = "unheld_early"
    UNHELD_BLOCKED = "unheld_blocked"
    CLAIMED = "claimed"
    STARTED = "started"
    RELEASED = "released"
    SUCCEEDED = "succeeded"
    RETRY_PLANNED = "retry_planned"
    GAVE_UP = "gave_up"
    PREEMPTED = "preempted"
    ASKED = "asked"
    ANSWERED = "answered"
    UNPARKED = "unparked"
    CANCELLED = "cancelled"
    CANCEL_ORDERED = "cancel_ordered"
    CANCEL_CONFIRMED = "cancel_confirmed"
    CANCEL_FORCED = "cancel_forced"
    EXPIRED = "expired"
    TIME_RAN_OUT = "time_ran_out"
    RESTORED = "restored"


E = JobEvent

TRANSITIONS: Final = MappingProxyType(
    {
        (S.SCHEDULED, E.FELL_DUE): S.QUEUED,
        (S.SCHEDULED, E.PUT_ON_HOLD): S.HELD,
        (S.SCHEDULED, E.CANCELLED): S.CANCELLED,
        (S.SCHEDULED, E.EXPIRED): S.EXPIRED,
        (S.SCHEDULED, E.TIME_RAN_OUT): S.FAILED,
        (S.BLOCKED, E.DEPENDENCIES_MET): S.QUEUED,
        (S.BLOCKED, E.DEPENDENCIES_MET_EARLY): S.SCHEDULED,
        (S.BLOCKED, E.DEPENDENCY_FAILED): S.FAILED,
        (S.BLOCKED, E.PUT_ON_HOLD): S.HELD,
        (S.BLOCKED, E.CANCELLED): S.CANCELLED,
        (S.BLOCKED, E.EXPIRED): S.EXPIRED,
        (S.BLOCKED, E.TIME_RAN_OUT): S.FAILED,
        (S.HELD, E.UNHELD_DUE): S.QUEUED,
        (S.HELD, E.UNHELD_EARLY): S.SCHEDULED,
        (S.HELD, E.UNHELD_BLOCKED): S.BLOCKED,
        (S.HELD, E.CANCELLED): S.CANCELLED,
        (S.HELD, E.EXPIRED): S.EXPIRED,
        (S.HELD, E.TIME_RAN_OUT): S.FAILED,
        (S.QUEUED, E.CLAIMED): S.LEASED,
        (S.QUEUED, E.PUT_ON_HOLD): S.HELD,
        (S.QUEUED, E.CANCELLED): S.CANCELLED,
        (S.QUEUED, E.EXPIRED): S.EXPIRED,
        (S.QUEUED, E.TIME_RAN_OUT): S.FAILED,
        (S.LEASED, E.STARTED): S.RUNNING,
        (S.LEASED, E.RELEASED): S.QUEUED,  # nothing ran, so this costs no attempt
        (S.LEASED, E.RETRY_PLANNED): S.SCHEDULED,
        (S.LEASED, E.GAVE_UP): S.FAILED,
        (S.LEASED, E.CANCEL_ORDERED): S.CANCELLING,
        (S.RUNNING, E.SUCCEEDED): S.SUCCEEDED,
        (S.RUNNING, E.RETRY_PLANNED): S.SCHEDULED,
        (S.RUNNING, E.GAVE_UP): S.FAILED,
        (S.RUNNING, E.PREEMPTED): S.QUEUED,
        (S.RUNNING, E.ASKED): S.WAITING,
        (S.RUNNING, E.CANCEL_ORDERED): S.CANCELLING,
        (S.WAITING, E.ANSWERED): S.QUEUED,  # a handler: its attempt ended when it asked
        (S.WAITING, E.UNPARKED): S.RUNNING,  # a parked command: its attempt lives on
        (S.WAITING, E.RETRY_PLANNED): S.SCHEDULED,
        (S.WAITING, E.GAVE_UP): S.FAILED,
        (S.WAITING, E.CANCELLED): S.CANCELLED,
        (S.WAITING, E.CANCEL_ORDERED): S.CANCELLING,
        (S.WAITING, E.TIME_RAN_OUT): S.FAILED,
        (S.CANCELLING, E.CANCEL_CONFIRMED): S.CANCELLED,
        (S.CANCELLING, E.CANCEL_FORCED): S.CANCELLED,
        (S.CANCELLING, E.TIME_RAN_OUT): S.FAILED,  # it was ended because its time was over
        # A backup was brought back, and nobody knows what has happened since it was made.
        (S.SCHEDULED, E.RESTORED): S.HELD,
        (S.BLOCKED, E.RESTORED): S.HELD,
        (S.HELD, E.RESTORED): S.HELD,
        (S.QUEUED, E.RESTORED): S.HELD,
        (S.LEASED, E.RESTORED): S.HELD,
        (S.RUNNING, E.RESTORED): S.HELD,
        (S.WAITING, E.RESTORED): S.HELD,
    }
)

LIVE: Final = frozenset({S.LEASED, S.RUNNING, S.CANCELLING})
"""States in which an attempt holds a slot of a worker."""
TERMINAL: Final = frozenset({S.SUCCEEDED, S.FAILED, S.CANCELLED, S.EXPIRED})
"""States that nothing leaves."""
PENDING: Final = frozenset({S.SCHEDULED, S.BLOCKED, S.HELD, S.QUEUED})
"""States in which no attempt exists, so a cancel takes effect at once."""


def next_state(state: S, event: JobEvent) -> S:
    """Return the state that follows, or raise `IllegalTransition`.

    Terminal states have no rows.  That absence is our whole protection against a late report
    bringing a finished job back to life: there is no second check.
    """
    following = TRANSITIONS.get((state, event))
    if following is None:
        message = f"a job that is {state} cannot have {event}"
        raise IllegalTransition(message)
    return following


def mermaid() -> str:
    """Return the table as a Mermaid state diagram, for ORCHESTRATOR.md."""
    arrows = [f"    {source} --> {to}: {event}" for (source, event), to in TRANSITIONS.items()]
    ends = [f"    {state} --> [*]" for state in S if state in TERMINAL]
    return "\n".join(["stateDiagram-v2", "    [*] --> queued", *arrows, *ends])
