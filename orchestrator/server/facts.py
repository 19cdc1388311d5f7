"""What has become true: the facts that the store announces after the commit that made them so.

A fact is a hint to look, never the news itself: who hears one reads the committed rows. So a fact
may be heard twice or be outdated by the next one, and nothing is wrong.
"""

from dataclasses import dataclass

from orchestrator.protocol.words import BreakerState


@dataclass(frozen=True, slots=True)
class JobChanged:
    """A job's timeline grew, and its state may be another one."""

    job_id: str


@dataclass(frozen=True, slots=True)
class OutputGrew:
    """There is more output of an attempt."""

    job_id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Claimable:
    """That many more jobs with that requirement wait for a worker."""

    requirement_id: int
    count: int


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A job or a schedule will fall due at that moment."""

    due_us: int


@dataclass(frozen=True, slots=True)
class RequirementAdded:
    """Nobody had asked for this before; these open sessions satisfy it."""

    requirement_id: int
    session_ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class SessionOpened:
    """A worker process began; it satisfies these requirements."""

    session_id: str
    requirement_ids: frozenset[int]


@dataclass(frozen=True, slots=True)
class SessionChanged:
    """A worker offers something else than before; it satisfies these requirements, and no other."""

    session_id: str
    requirement_ids: frozenset[int]


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """A session is over: whoever waits in its name waits for nothing."""

    session_id: str


@dataclass(frozen=True, slots=True)
class OrderPending:
    """There is a directive for an attempt of that session."""

    session_id: str


@dataclass(frozen=True, slots=True)
class BreakerChanged:
    """A worker is given jobs no more, or only one, or all that fit it again, and why.

    For the log, which tells of it once: hence the words, and who said them if it was a person.
    """

    worker_id: str
    state: BreakerState
    event: str
    why: str | None
    next_us: int | None
    by: str | None


@dataclass(frozen=True, slots=True)
class KeysChanged:
    """A credential was made, replaced or withdrawn."""


@dataclass(frozen=True, slots=True)
class NewsLost:
    """Something may have been committed of which nobody was told: look at everything again."""


Fact = (
    JobChanged
    | OutputGrew
    | Claimable
    | Scheduled
    | RequirementAdded
    | SessionOpened
    | SessionChanged
    | SessionEnded
    | OrderPending
    | BreakerChanged
    | KeysChanged
    | NewsLost
)
