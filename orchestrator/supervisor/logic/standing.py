"""How a worker stands, for people: its state, why, what comes next, and when.

Two know a part of it. The supervisor knows whether there is a process and what it does about that;
the process knows whether its server answers and what it runs. Here both become one word from a
closed list with a reason. It knows no clock: moments are those of whoever asks.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from orchestrator.supervisor.logic.child import Child, ChildState

Said = Mapping[str, object]
NOTHING_SAID: Final[Said] = MappingProxyType({})


class WorkerState(StrEnum):
    """How a worker stands."""

    DISABLED = "disabled"
    CONFIG_ERROR = "config_error"
    AUTH_FAILED = "auth_failed"
    STARTING = "starting"
    CONNECTING = "connecting"
    READY = "ready"
    BUSY = "busy"
    PAUSED = "paused"
    SUSPECT = "suspect"
    HELD = "held"
    DRAINING = "draining"
    DRAINED = "drained"
    REFUSED = "refused"
    SUPERSEDED = "superseded"
    BACKOFF = "backoff"
    STOPPING = "stopping"
    STOPPED = "stopped"


WORKING: Final = frozenset({WorkerState.READY, WorkerState.BUSY})
"""In these it does what it is there for; in all others somebody may want to know why not."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What a person is told."""

    state: WorkerState
    reason: str | None = None
    next_action: str | None = None
    next_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of one worker."""

    child: Child
    said: Said = field(default_factory=lambda: NOTHING_SAID)
    """How its process says that it is, or said before it ended."""
    said_at: float = 0.0
    ended: str | None = None
    """How its last process ended, in words."""
    leaving: str | None = None
    """Why the process is to end: the worker was removed, or begins anew."""
    drained_by: str | None = None
    """Why somebody drains it, while they do: its process stays."""


def standing(facts: Facts) -> Standing:
    """Return how it stands."""
    child = facts.child
    match child.state:
        case ChildState.DOWN if child.is_settled:
            return Standing(WorkerState.STOPPED, facts.leaving)
        case ChildState.DOWN | ChildState.LAUNCHING:
            return Standing(WorkerState.STARTING, "its process is being started", "connects")
        case ChildState.STARTING | ChildState.READY:
            return _of_process(facts)
        case ChildState.DRAINING:
            return _leaving(facts, WorkerState.DRAINING, "interrupts what still runs")
        case ChildState.STOPPING | ChildState.LEAVING | ChildState.KILLED:
            return _leaving(facts, WorkerState.STOPPING, "is killed")
        case ChildState.BACKOFF:
            return Standing(
                WorkerState.BACKOFF, _why_ended(facts), "is started again", _at(child.act_at)
            )
        case ChildState.PARKED:  # pragma: no branch - mypy proves that there is no other case
            return _parked(facts)


def _of_process(facts: Facts) -> Standing:
    """Return what its process says; as long as it says nothing, whether it was ever ready."""
    said = facts.said
    if not said:
        ready = facts.child.state is ChildState.READY
        return Standing(WorkerState.READY if ready else WorkerState.CONNECTING)
    state = _state(said)
    if facts.drained_by is not None and state is WorkerState.PAUSED:
        running = bool(said.get("running_count"))
        state = WorkerState.DRAINING if running else WorkerState.DRAINED
        return Standing(state, facts.drained_by, "goes on when somebody resumes it")
    retry_in_s = said.get("retry_in_s")
    retries = isinstance(retry_in_s, (int, float))
    next_at = facts.said_at + retry_in_s if isinstance(retry_in_s, (int, float)) else None
    next_action = _text(said, "hint") or ("tries again" if retries else None)
    return Standing(state, _text(said, "reason"), next_action, next_at)


def _leaving(facts: Facts, state: WorkerState, last: str) -> Standing:
    count = facts.said.get("running_count") or 0
    runs = f"{count} job{'' if count == 1 else 's'} running" if count else None
    reason = ", ".join(part for part in (facts.leaving, runs) if part) or None
    return Standing(state, reason, last, _at(facts.child.act_at))


def _parked(facts: Facts) -> Standing:
    """Somebody has to mend something; what that is, its exit code says."""
    match facts.child.last_code:
        case 77:
            state, action = WorkerState.AUTH_FAILED, "waits for another token; tries this one again"
        case 78:
            state, action = WorkerState.CONFIG_ERROR, "waits until it is mended; looks again"
        case _:
            state, action = WorkerState.BACKOFF, "is started again"
    return Standing(state, _why_ended(facts), action, _at(facts.child.act_at))


def _why_ended(facts: Facts) -> str | None:
    """Return its own last words if they tell of trouble, else how its process ended."""
    troubled = facts.said and _state(facts.said) not in WORKING | {WorkerState.PAUSED}
    return (_text(facts.said, "reason") if troubled else None) or facts.ended


def _state(said: Said) -> WorkerState:
    """Return its word for how it is; one of a newer worker that nobody here knows is *held*."""
    try:
        return WorkerState(str(said.get("state")))
    except ValueError:
        return WorkerState.HELD


def _text(said: Said, key: str) -> str | None:
    value = said.get(key)
    return value if isinstance(value, str) else None


def _at(moment: float) -> float | None:
    return moment if math.isfinite(moment) else None
