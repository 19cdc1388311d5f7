"""The life of an attempt as its worker sees it, as one table.

    preparing ─prepared─► starting ─began─► running ─over, vanished─► ended ─acknowledged─► settled
      │  │ └─announced─► announced ─recorded─► starting                 │                      ▲
      │  └── refused, withdrawn ───────────────────────────────────────►┘                      │
      └── abandon, from each of these ──► abandoned ── over, vanished ──► late ◄─abandon─ ended │
                                              │                             └──────────────────►│
                                              └────── refused, withdrawn ──────────────────────►┘

The table is the truth: what is not in it cannot happen. It knows only states and events.

*Announced* is what may be started only once: it runs when the server has its start. *Late* is what
was taken from us and has ended since: that is said once, for people to read.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from orchestrator.kernel.errors import IllegalTransition
from worker.records import Phase


class AttemptState(StrEnum):
    """Where an attempt is in its life."""

    PREPARING = "preparing"
    ANNOUNCED = "announced"
    STARTING = "starting"
    RUNNING = "running"
    ENDED = "ended"
    ABANDONED = "abandoned"
    LATE = "late"
    SETTLED = "settled"


class AttemptEvent(StrEnum):
    """What moves it on."""

    PREPARED = "prepared"
    ANNOUNCED = "announced"
    RECORDED = "recorded"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    BEGAN = "began"
    OVER = "over"
    VANISHED = "vanished"
    ABANDON = "abandon"
    ACKNOWLEDGED = "acknowledged"


S = AttemptState
E = AttemptEvent

TRANSITIONS: Final[Mapping[tuple[AttemptState, AttemptEvent], AttemptState]] = MappingProxyType(
    {
        (S.PREPARING, E.PREPARED): S.STARTING,
        (S.PREPARING, E.ANNOUNCED): S.ANNOUNCED,
        (S.PREPARING, E.REFUSED): S.ENDED,
        (S.PREPARING, E.WITHDRAWN): S.ENDED,
        (S.PREPARING, E.ABANDON): S.ABANDONED,
        (S.ANNOUNCED, E.RECORDED): S.STARTING,
        (S.ANNOUNCED, E.WITHDRAWN): S.ENDED,
        (S.ANNOUNCED, E.ABANDON): S.ABANDONED,
        (S.STARTING, E.BEGAN): S.RUNNING,
        (S.STARTING, E.WITHDRAWN): S.ENDED,  # it was never even written down
        (S.STARTING, E.OVER): S.ENDED,  # it never began: the executable is missing
        (S.STARTING, E.VANISHED): S.ENDED,
        (S.STARTING, E.ABANDON): S.ABANDONED,
        (S.RUNNING, E.OVER): S.ENDED,
        (S.RUNNING, E.VANISHED): S.ENDED,
        (S.RUNNING, E.ABANDON): S.ABANDONED,
        (S.ENDED, E.ACKNOWLEDGED): S.SETTLED,
        (S.ENDED, E.ABANDON): S.LATE,  # it may not have been heard: output stood before it
        (S.ABANDONED, E.ABANDON): S.ABANDONED,  # said again, because our answer crossed it
        (S.ABANDONED, E.BEGAN): S.ABANDONED,
        (S.ABANDONED, E.REFUSED): S.SETTLED,
        (S.ABANDONED, E.WITHDRAWN): S.SETTLED,
        (S.ABANDONED, E.OVER): S.LATE,
        (S.ABANDONED, E.VANISHED): S.LATE,
        (S.LATE, E.ACKNOWLEDGED): S.SETTLED,
        (S.LATE, E.ABANDON): S.SETTLED,
    }
)
OCCUPYING: Final = frozenset({S.PREPARING, S.ANNOUNCED, S.STARTING, S.RUNNING, S.ABANDONED})
"""In these a process may be there, so the slot is taken."""

PHASES: Final[Mapping[AttemptState, Phase]] = MappingProxyType(
    {
        S.PREPARING: "granted",
        S.ANNOUNCED: "granted",
        S.STARTING: "granted",
        S.RUNNING: "running",
        S.ABANDONED: "running",
        S.ENDED: "ended",
        S.LATE: "ended",
        S.SETTLED: "ended",
    }
)
"""How far an attempt is in each state, in the words that the server is told at a new session."""


def next_state(state: AttemptState, event: AttemptEvent) -> AttemptState:
    """Return the state that follows, or raise `IllegalTransition`."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise IllegalTransition(f"an attempt that is {state} cannot be {event}") from None
