"""The life of a child as its supervisor sees it, as one table.

A child is a process that we started and keep as it is wanted. This module owns which state may
follow which, and what to do about the difference between what is wanted and what is; it knows no
process, no clock and no chance (a draw from [0, 1) comes with each event).

*Wanted* is not *actual*: an order changes what is wanted, and only a fact from the world, or our
own doing, changes the state. So an order that comes while a child is being started is neither lost
nor acted upon too early: it is pursued when the child has appeared.

No child is ever given up. What a restart cannot mend (a token that is refused, a folder that is not
there) parks it: it waits until somebody says that its cause may be gone, and looks by itself now
and then. Whether that is reason enough to end the whole run is not decided here.
"""

import math
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from orchestrator.kernel.errors import IllegalTransition
from orchestrator.supervisor.logic.patience import ChildPolicy


class ChildState(StrEnum):
    """Where a child is."""

    DOWN = "down"
    LAUNCHING = "launching"
    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    STOPPING = "stopping"
    LEAVING = "leaving"
    KILLED = "killed"
    BACKOFF = "backoff"
    PARKED = "parked"


class ChildEvent(StrEnum):
    """What can happen to it: facts, and what we did."""

    LAUNCHED = "launched"
    APPEARED = "appeared"
    BECAME_READY = "became_ready"
    TOLD_TO_DRAIN = "told_to_drain"
    TOLD_TO_STOP = "told_to_stop"
    HUNG_UP = "hung_up"
    KILL_SENT = "kill_sent"
    ENDED = "ended"
    RESTART_PLANNED = "restart_planned"
    PARKED = "parked"
    DISMISSED = "dismissed"


class Wanted(StrEnum):
    """What somebody wants of a child, mildest first. It only ever gets stricter.

    drain: take nothing new, finish, and go. stop: interrupt what runs, and go. leave: go at once,
    whatever runs; jobs go on without us.
    """

    RUN = "run"
    DRAIN = "drain"
    STOP = "stop"
    LEAVE = "leave"


S = ChildState
E = ChildEvent

TRANSITIONS: Final = MappingProxyType(
    {
        (S.DOWN, E.LAUNCHED): S.LAUNCHING,
        (S.BACKOFF, E.LAUNCHED): S.LAUNCHING,
        (S.PARKED, E.LAUNCHED): S.LAUNCHING,
        (S.LAUNCHING, E.APPEARED): S.STARTING,
        (S.STARTING, E.BECAME_READY): S.READY,
        # Said twice, or said before it heard our order: no news any more.
        (S.READY, E.BECAME_READY): S.READY,
        (S.DRAINING, E.BECAME_READY): S.DRAINING,
        (S.STOPPING, E.BECAME_READY): S.STOPPING,
        (S.LEAVING, E.BECAME_READY): S.LEAVING,
        (S.KILLED, E.BECAME_READY): S.KILLED,
        (S.STARTING, E.TOLD_TO_DRAIN): S.DRAINING,
        (S.READY, E.TOLD_TO_DRAIN): S.DRAINING,
        (S.STARTING, E.TOLD_TO_STOP): S.STOPPING,
        (S.READY, E.TOLD_TO_STOP): S.STOPPING,
        (S.DRAINING, E.TOLD_TO_STOP): S.STOPPING,
        (S.STARTING, E.HUNG_UP): S.LEAVING,
        (S.READY, E.HUNG_UP): S.LEAVING,
        (S.DRAINING, E.HUNG_UP): S.LEAVING,
        (S.STOPPING, E.HUNG_UP): S.LEAVING,
        (S.STARTING, E.KILL_SENT): S.KILLED,
        (S.READY, E.KILL_SENT): S.KILLED,  # it said nothing for too long
        (S.DRAINING, E.KILL_SENT): S.KILLED,
        (S.STOPPING, E.KILL_SENT): S.KILLED,
        (S.LEAVING, E.KILL_SENT): S.KILLED,
        (S.LAUNCHING, E.RESTART_PLANNED): S.BACKOFF,
        (S.STARTING, E.RESTART_PLANNED): S.BACKOFF,
        (S.READY, E.RESTART_PLANNED): S.BACKOFF,
        (S.KILLED, E.RESTART_PLANNED): S.BACKOFF,  # it was not ready in time, or hung
        (S.LAUNCHING, E.PARKED): S.PARKED,
        (S.STARTING, E.PARKED): S.PARKED,
        (S.READY, E.PARKED): S.PARKED,
        (S.KILLED, E.PARKED): S.PARKED,
        (S.LAUNCHING, E.ENDED): S.DOWN,
        (S.DRAINING, E.ENDED): S.DOWN,
        (S.STOPPING, E.ENDED): S.DOWN,
        (S.LEAVING, E.ENDED): S.DOWN,
        (S.KILLED, E.ENDED): S.DOWN,
        (S.BACKOFF, E.DISMISSED): S.DOWN,
        (S.PARKED, E.DISMISSED): S.DOWN,
    }
)


def next_state(state: ChildState, event: ChildEvent) -> ChildState:
    """Return the state that follows, or raise `IllegalTransition`."""
    following = TRANSITIONS.get((state, event))
    if following is None:
        raise IllegalTransition(f"a child that is {state} cannot have {event}")
    return following


def mermaid() -> str:
    """Return the table as a Mermaid state diagram, for ORCHESTRATOR.md."""
    arrows = [f"    {source} --> {to}: {event}" for (source, event), to in TRANSITIONS.items()]
    return "\n".join(["stateDiagram-v2", "    [*] --> down", *arrows])


LATE_S: Final = 5.0
"""Who looks so much later than at the time was not there, and judges nobody for silence."""


@dataclass(frozen=True, slots=True)
class Child:
    """What is known of one child, and what is wanted of it."""

    policy: ChildPolicy
    wanted: Wanted = Wanted.RUN
    state: ChildState = ChildState.DOWN
    act_at: float = math.inf
    """When the present state has lasted long enough."""
    silent_at: float = math.inf
    """When it has said nothing for too long."""
    doubted: bool = False
    """That moment came once already, and it has said nothing since."""
    ready_at: float | None = None
    was_ready: bool = False
    failures: int = 0
    refusals: int = 0
    """How often in a row another process held its data."""
    overdrawn: bool = False
    """It did not finish its work within the time to drain."""
    forced: bool = False
    """It did not end within the time to stop, or hung, and was killed."""
    last_code: int | None = None

    @property
    def is_settled(self) -> bool:
        """Tell whether nothing will happen any more: it is down as wanted."""
        return self.state is S.DOWN and self.wanted is not Wanted.RUN

    @property
    def is_hopeless(self) -> bool:
        """Tell whether it never worked, and somebody has to do something before it will."""
        failed = self.state is S.PARKED or self.failures >= self.policy.first_tries
        return failed and not self.was_ready

    @property
    def keeps_failing(self) -> bool:
        """Tell whether it failed so often in a row, just now, that somebody should look at it.

        Once for each such row: whoever is told of it again and again stops listening.
        """
        return self.state is S.BACKOFF and self.failures == self.policy.alarming

    @property
    def wakes_at(self) -> float:
        """Return when something is to be done although nothing happens."""
        return min(self.act_at, self.silent_at)


@dataclass(frozen=True, slots=True)
class Want:
    """Somebody wants something of it."""

    wanted: Wanted


@dataclass(frozen=True, slots=True)
class Appeared:
    """Its process exists."""


@dataclass(frozen=True, slots=True)
class BecameReady:
    """It says that it is ready."""


@dataclass(frozen=True, slots=True)
class Spoke:
    """It told how it is: so it works."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Whatever it waits for before its next start may have come true: start it now."""


@dataclass(frozen=True, slots=True)
class Ended:
    """Its process is gone, or never came to be (then there is no code)."""

    code: int | None = None


@dataclass(frozen=True, slots=True)
class Tick:
    """Time went by."""


Happening = Want | Appeared | BecameReady | Spoke | Retry | Ended | Tick


class Effect(StrEnum):
    """What the shell is to do."""

    LAUNCH = "launch"
    ABANDON = "abandon"
    """Wait no longer for what the launch waits for; whether it came to a process is told after."""
    TELL_DRAIN = "tell_drain"
    TELL_STOP = "tell_stop"
    HANG_UP = "hang_up"
    KILL = "kill"


@dataclass(frozen=True, slots=True)
class Decision:
    """The child as it is from now on, and what to do."""

    child: Child
    effects: tuple[Effect, ...] = field(default=())


def decide(child: Child, happening: Happening, *, now: float, draw: float) -> Decision:
    """Return what follows from something that happened at `now`.

    Every decision ends by pursuing what is wanted, so an order and a fact that come in either order
    lead to the same end.
    """
    match happening:
        case Want(wanted):
            child = replace(child, wanted=_stricter(child.wanted, wanted))
        case Appeared():
            child = _moved(child, E.APPEARED, until=_after(now, child.policy.ready_s))
            child = replace(child, silent_at=_after(now, child.policy.first_word_s))
        case BecameReady():
            child = _became_ready(child, now)
        case Spoke():
            silent_at = _after(now, child.policy.silent_s)
            child = replace(child, silent_at=silent_at, doubted=False)
        case Retry():
            waits = child.state in {S.BACKOFF, S.PARKED}
            child = replace(child, act_at=now) if waits else child
        case Ended(code):
            child = _ended(replace(child, last_code=code), now, draw)
        case Tick():  # pragma: no branch - mypy proves that there is no other case
            pass
    return _pursue(child, now)


def _stricter(one: Wanted, other: Wanted) -> Wanted:
    return max(one, other, key=list(Wanted).index)


def _after(now: float, wait_s: float | None) -> float:
    return math.inf if wait_s is None else now + wait_s


def _moved(child: Child, event: ChildEvent, *, until: float = math.inf) -> Child:
    return replace(child, state=next_state(child.state, event), act_at=until)


def _became_ready(child: Child, now: float) -> Child:
    if child.state is not S.STARTING:
        return replace(child, state=next_state(child.state, E.BECAME_READY))
    return replace(_moved(child, E.BECAME_READY), ready_at=now, was_ready=True)


def _ended(child: Child, now: float, draw: float) -> Child:
    """Plan what comes after an end: nothing, another start, or no start any more."""
    policy, ready_at = child.policy, child.ready_at
    child = replace(child, ready_at=None, silent_at=math.inf, doubted=False)
    if child.wanted is not Wanted.RUN:
        return _moved(child, E.ENDED)
    code = -1 if child.last_code is None else child.last_code
    passing = ready_at is not None and code in policy.passing
    parked_s = None if passing else policy.parking.get(code)
    healthy = ready_at is not None and now - ready_at >= policy.healthy_s
    if healthy and parked_s is None:
        return replace(_moved(child, E.RESTART_PLANNED, until=now), failures=0)
    if child.last_code == policy.busy_code:
        refusals = child.refusals + 1
        wait_s = policy.busy_retry.delay(refusals, draw=draw)
        return replace(_moved(child, E.RESTART_PLANNED, until=now + wait_s), refusals=refusals)
    child = replace(child, failures=child.failures + 1, refusals=0)
    if parked_s is not None:
        return _moved(child, E.PARKED, until=now + parked_s)
    wait_s = policy.backoff.delay(child.failures, draw=draw)
    return _moved(child, E.RESTART_PLANNED, until=now + wait_s)


def _pursue(child: Child, now: float) -> Decision:
    """Take the next step from what is to what is wanted, if it is time."""
    overdue = now >= child.act_at
    if now >= child.silent_at and child.state in {S.STARTING, S.READY, S.DRAINING}:
        return _doubt(child, now)
    match child.wanted:
        case Wanted.RUN:
            return _pursue_running(child, overdue=overdue)
        case Wanted.DRAIN if child.state in {S.STARTING, S.READY}:
            return _tell_to_drain(child, now)
        case Wanted.DRAIN if child.state is S.DRAINING and overdue:
            return _tell_to_stop(replace(child, overdrawn=True), now)
        case Wanted.STOP if child.state in {S.STARTING, S.READY, S.DRAINING}:
            return _tell_to_stop(child, now)
        case Wanted.LEAVE if child.state in {S.STARTING, S.READY, S.DRAINING, S.STOPPING}:
            left = _moved(child, E.HUNG_UP, until=now + child.policy.stop_s)
            return Decision(left, (Effect.HANG_UP,))
        case Wanted.DRAIN | Wanted.STOP | Wanted.LEAVE:  # pragma: no branch - as above
            return _see_off(child, overdue=overdue)


def _doubt(child: Child, now: float) -> Decision:
    """Kill a child that says nothing, unless it may be us who did not listen.

    Either we look so late that we were not there ourselves; or this is the first doubt, and what it
    said while we were not is still to be read.
    """
    if not child.doubted or now >= child.silent_at + LATE_S:
        again = now + child.policy.doubt_s
        return Decision(replace(child, doubted=True, silent_at=again))
    killed = replace(_moved(child, E.KILL_SENT), silent_at=math.inf)
    return Decision(replace(killed, forced=child.wanted is not Wanted.RUN), (Effect.KILL,))


def _pursue_running(child: Child, *, overdue: bool) -> Decision:
    if child.state is S.DOWN or (child.state in {S.BACKOFF, S.PARKED} and overdue):
        return Decision(_moved(child, E.LAUNCHED), (Effect.LAUNCH,))
    if child.state is S.STARTING and overdue:
        return Decision(_moved(child, E.KILL_SENT), (Effect.KILL,))
    return Decision(child)


def _tell_to_drain(child: Child, now: float) -> Decision:
    if child.policy.drain_s is None:
        return _tell_to_stop(child, now)
    told = _moved(child, E.TOLD_TO_DRAIN, until=now + child.policy.drain_s)
    return Decision(told, (Effect.TELL_DRAIN,))


def _tell_to_stop(child: Child, now: float) -> Decision:
    told = _moved(child, E.TOLD_TO_STOP, until=now + child.policy.stop_s)
    return Decision(told, (Effect.TELL_STOP,))


def _see_off(child: Child, *, overdue: bool) -> Decision:
    """A child on its way out: kill it when it takes too long; one without a process just goes."""
    if child.state is S.LAUNCHING:
        return Decision(child, (Effect.ABANDON,))
    if child.state in {S.STOPPING, S.LEAVING} and overdue:
        return Decision(_moved(replace(child, forced=True), E.KILL_SENT), (Effect.KILL,))
    if child.state in {S.BACKOFF, S.PARKED}:
        return Decision(_moved(child, E.DISMISSED))
    return Decision(child)
