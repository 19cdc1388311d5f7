"""What a link does to those who use it, as a value: the proxy obeys it, the nemesis changes it.

It opens no socket and draws nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Fault(StrEnum):
    """What may happen to one request and its answer."""

    DELAY = "delay"
    """It waits before it goes on."""
    CUT_REQUEST = "cut_request"
    """A part of it arrives, then the connection is reset on both sides."""
    LOSE_ANSWER = "lose_answer"
    """It is done, and the connection is reset instead of an answer."""
    CUT_ANSWER = "cut_answer"
    """A part of the answer arrives, then a reset."""
    HALF_CLOSE = "half_close"
    """A part of the answer arrives, then an orderly end, as if that were all."""
    DRIBBLE = "dribble"
    """The answer arrives a few bytes at a time."""
    REPEAT = "repeat"
    """It arrives again, once or more, now or later, on other connections."""


class Way(StrEnum):
    """A direction in which a link may be blocked."""

    UP = "up"
    """From the caller to the server."""
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Weather:
    """How bad a link is now."""

    rates: Mapping[Fault, float] = field(default_factory=dict)
    """fault → share of requests that meet it; together at most 1."""
    blocked: frozenset[Way] = frozenset()
    """What is sent this way waits until it is opened: nobody is told that it does not arrive."""
    longest_s: float = 1.0
    """How long a delay or the pause before a repetition is, at most."""

    def fault(self, draw: float) -> Fault | None:
        """Return what happens to a request for which `draw` from [0, 1) was drawn."""
        for fault, rate in self.rates.items():
            if draw < rate:
                return fault
            draw -= rate
        return None


FAIR = Weather()
"""Nothing is wrong."""
DRIZZLE = Weather(dict.fromkeys(Fault, 0.01))
"""What a link is like between storms: one request in fourteen meets something."""
