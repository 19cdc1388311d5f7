"""How a worker stands, in one word and a sentence, out of everything that may be the matter.

Several things may be at once: the one is told that a person would have to see to first. It knows
no clock and no connection; what it is told holds now.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple


class StandingState(StrEnum):
    """The words for it, the gravest first."""

    REFUSED = "refused"
    """The server does not know its token: it has ended, until there is another."""
    FAILED = "failed"
    """It has ended because something here has to be put right."""
    SUPERSEDED = "superseded"
    """Another process works under the same token."""
    CONNECTING = "connecting"
    """There is no session, or nobody answers in it."""
    DRAINING = "draining"
    """It takes nothing more, and ends when nothing runs."""
    PAUSED = "paused"
    """Somebody wants it to take nothing."""
    SUSPECT = "suspect"
    """It takes nothing, because nobody knows whether jobs can run here."""
    HELD = "held"
    """It takes nothing, or less, because something is short."""
    BUSY = "busy"
    """Something runs."""
    READY = "ready"
    """It waits for work."""


class Matter(NamedTuple):
    """What is the matter, and what a person can do about it."""

    reason: str | None = None
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a worker now; what is not the matter is `None`."""

    in_session: bool = False
    rival: Matter | None = None
    unreached: Matter | None = None
    """Why nobody answers, or why no session was opened."""
    draining: bool = False
    paused: Matter | None = None
    unproven: Matter | None = None
    """Why its canary has not run to a good end."""
    short: Matter | None = None
    put_off: Matter | None = None
    """Why the server takes some calls and not others: it has too much to do."""
    running: int = 0
    skew_s: float | None = None
    """How far our clock is before the server's, if that matters."""


_CLOCK_HINT: Final = "set this machine's clock; until then the times of its jobs are wrong"


def standing(facts: Facts) -> tuple[StandingState, Matter]:
    """Return the state, and what there is to say about it."""
    if facts.rival is not None:
        return StandingState.SUPERSEDED, facts.rival
    if facts.unreached is not None or not facts.in_session:
        return StandingState.CONNECTING, facts.unreached or Matter()
    if facts.draining:
        return StandingState.DRAINING, Matter()
    if facts.paused is not None:
        return StandingState.PAUSED, facts.paused
    if facts.unproven is not None:
        return StandingState.SUSPECT, facts.unproven
    if (why := facts.short or facts.put_off) is not None:
        return StandingState.HELD, why
    state = StandingState.BUSY if facts.running else StandingState.READY
    return state, Matter() if facts.skew_s is None else _skewed(facts.skew_s)


def _skewed(skew_s: float) -> Matter:
    where = "ahead of" if skew_s > 0 else "behind"
    return Matter(f"the clock is {_span(abs(skew_s))} {where} the server's", _CLOCK_HINT)


def _span(seconds: float) -> str:
    """Return a span for people, in the largest unit of which there are two."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


SKEW_MATTERS_S: Final = 60.0
"""Less is what machines without a time service have, and no rule of ours depends on it."""


def skew_of(*, sent: float, said: float, received: float) -> float | None:
    """Return how far we are before a server that said its time while we waited; `None`: it may fit.

    The smallest difference that explains it: somewhere between asking and hearing it was said.
    """
    skew = sent - said if said < sent else received - said if said > received else 0.0
    return skew if abs(skew) >= SKEW_MATTERS_S else None
