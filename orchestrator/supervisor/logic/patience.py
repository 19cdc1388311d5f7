"""How patient one is with a child: deadlines, pauses, and which ends a restart cannot mend."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from orchestrator.kernel.backoff import Backoff

MENDED_BY_PEOPLE: Final[Mapping[int, float]] = MappingProxyType({73: 60.0, 77: 900.0, 78: 900.0})
"""State that cannot be created, tokens refused, configuration: exit code → seconds to a new try."""


@dataclass(frozen=True, slots=True)
class ChildPolicy:
    """How patient we are with a child; all durations in seconds."""

    drain_s: float | None = None
    """Until a draining child is told to stop; `None`: there is nothing to drain."""
    stop_s: float = 10.0
    """Until a child that was told to stop, or to leave, is killed."""
    ready_s: float | None = None
    """Until a child that is not ready is killed and started again; `None`: it may wait for ever."""
    healthy_s: float = 60.0
    """Ready for this long, and what happened before is forgiven: its next start is immediate."""
    backoff: Backoff = Backoff()
    first_tries: int = 5
    """Failures in a row before it was ever ready: then it will hardly become better by itself."""
    alarming: int = 5
    """Failures in a row of which a person is told, whether it was ever ready or not."""
    parking: Mapping[int, float] = field(default_factory=lambda: MENDED_BY_PEOPLE)
    """Exit codes that say the same at once: somebody has to mend something. How many seconds later
    one looks all the same whether somebody did."""
    passing: frozenset[int] = frozenset({73})
    """Those of them that mean so only if it was not ready: a disk that failed once while it worked
    may be well again, and the next start finds that out at once."""
    silent_s: float | None = None
    """How long a child that tells how it is may say nothing before one doubts that it works; `None`
    where it tells nothing."""
    first_word_s: float | None = None
    """The same for its first word: before it, a child may have much to look through."""
    doubt_s: float = 5.0
    """How long a child that is doubted still has. If *we* were not there (a machine that slept, a
    loop that lagged), what it said meanwhile is read in this time."""
    busy_code: int = 5
    """The exit code that says that another process still holds its data. One that was orphaned is
    about to end, so this is waited out and is no failure of its own."""
    busy_retry: Backoff = Backoff(max_s=5.0)
