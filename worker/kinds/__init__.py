"""The kinds of jobs that this worker can run, and what they have in common.

A kind turns params into something that runs; what runs has a log, and that is all that the rest of
the worker knows of it. Whether a process of the machine or a coroutine of this one stands behind
the log makes no difference.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from worker.logic.attempt import Key
from worker.logic.outcome import End
from worker.records import Cause, Phase, Record
from worker.settings import JobLimits


@dataclass(frozen=True, slots=True)
class Work:
    """One attempt, as a kind sees it: `params` are as the job has them, nobody has looked yet."""

    key: Key
    params: Mapping[str, object]
    env: Mapping[str, str]
    root: Path
    """The folder that it may run in: a fresh workspace, or the worker's own."""
    timeout_s: float
    silence_s: float | None
    grace_s: float
    limits: JobLimits = JobLimits()
    """What it may use here; its time is cut to that already."""
    durable: bool = False
    """Whether nothing of it may be started before its grant is on the disk."""


@dataclass(frozen=True, slots=True)
class Entered:
    """A handler in this process was entered: what `Began` is for a command."""

    at_us: int


@dataclass(frozen=True, slots=True)
class Progressed:
    """How far it is, in its own words. It is a sign of life, as output is."""

    at_us: int
    percent: float | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """A handler in this process is over: what `Exited` is for a command."""

    end: End


class Running(Protocol):
    """What runs, or did; `worker.spool.AttemptLog` for everything that has a process."""

    @property
    def phase(self) -> Phase:
        """Return how far it has come."""
        ...

    def records(self) -> AsyncIterator[Record | Entered | Progressed | Finished]:
        """Yield what happens, to the end."""
        ...

    def cancel(self, cause: Cause, grace_s: float) -> None:
        """Have it ended."""
        ...

    def acknowledged(self, offset: int) -> None:
        """Note that the server has its output up to there."""
        ...

    def keep(self) -> None:
        """Note that people may want to look at its log: it stays when the attempt is settled."""
        ...

    def settle(self) -> None:
        """Note that the server has its end."""
        ...


class Launch(Protocol):
    """Starts what was made ready, in two steps: the first may fail and has begun nothing."""

    async def secure(self) -> None:
        """Take what a start needs of this machine, or raise `LaunchFailed`."""
        ...

    async def start(self) -> Running:
        """Start it."""
        ...

    def leave(self) -> None:
        """Give back what was secured: it will not be started."""
        ...


class Kind(Protocol):
    """One kind of job."""

    def ready(self, work: Work) -> Launch:
        """Return how to start it; params that are not this kind's raise `ValidationError`."""
        ...


Kinds = Mapping[str, Kind]
