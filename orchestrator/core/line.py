"""Lines: jobs to which the same rules apply wait in the same line.

A line is one requirement, one queue, one fairness key and one set of limits, so whatever keeps its
first job from starting keeps all of them, and only its head needs to be looked at. It knows no job
and no database; limits are the jobs' own, so two lines may share a key and differ in its limit.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

DEFAULT_QUEUE: Final = "default"
"""It exists always: whoever names no queue is in it."""


class Limit(NamedTuple):
    """At most so many of the jobs that hold a key may have an attempt at the same time."""

    key: str
    limit: int


class Rate(NamedTuple):
    """At most so many of the jobs with a key may start in any window of that length."""

    key: str
    most: int
    window_us: int


@dataclass(frozen=True, slots=True)
class Line:
    """What the jobs of a line have in common, but for what they require of a worker."""

    id: int
    queue: str = DEFAULT_QUEUE
    fairness_key: str = ""
    limits: tuple[Limit, ...] = ()
    rates: tuple[Rate, ...] = ()

    @property
    def is_limited(self) -> bool:
        """Tell whether there are gates of its own."""
        return bool(self.limits or self.rates)
