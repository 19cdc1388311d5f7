"""Claims that found nothing wait here, and work that appears wakes exactly those that match.

It hands out no job: who is woken claims again, in a transaction. What it keeps is only who waits,
which requirements each session satisfies, and how much work each waiter has been promised, so that
ten jobs do not wake a hundred workers and no job is left lying beside a worker that sleeps.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import anyio

from orchestrator.server.facts import (
    Claimable,
    Fact,
    JobChanged,
    RequirementAdded,
    SessionChanged,
    SessionEnded,
    SessionOpened,
)

K = TypeVar("K")


@dataclass(eq=False, slots=True)
class Waiter:
    """One claim on its way, and the work that it was woken for, counted by requirement."""

    session_id: str
    slots: int
    job_id: str | None = None
    """The one job that it waits for: then no other work is promised to it."""
    is_restricted: bool = False
    """Whether what waits may not be for it: then it is woken, and nothing is promised to it."""
    requirements: set[int] = field(default_factory=set)
    promised: Counter[int] = field(default_factory=Counter)
    _woken: anyio.Event = field(default_factory=anyio.Event)

    @property
    def room(self) -> int:
        """Return how many more jobs it could take."""
        return self.slots - self.promised.total()

    def wake(self) -> None:
        """End its sleep."""
        self._woken.set()

    async def sleep(self) -> None:
        """Wait until it is woken; return at once if that happened since the last `take()`."""
        await self._woken.wait()

    def take(self) -> Counter[int]:
        """Return the promises so far and begin anew: the claim that follows looks for them."""
        taken, self.promised = self.promised, Counter()
        self._woken = anyio.Event()
        return taken


class Dispatch:
    """The waiting claims of all workers."""

    def __init__(self) -> None:
        self._satisfied: dict[str, set[int]] = {}
        self._waiting: dict[int, dict[Waiter, None]] = {}
        self._of_session: dict[str, dict[Waiter, None]] = {}
        self._wishing: dict[str, dict[Waiter, None]] = {}
        self._closing = False

    def know(self, sessions: Mapping[str, frozenset[int]]) -> None:
        """Know which sessions are open and what each satisfies, and forget all other sessions.

        Whoever waits stays at its place in the queue.
        """
        for session_id in (self._satisfied.keys() | self._of_session.keys()) - sessions.keys():
            self._dismiss(session_id)
        for session_id, requirements in sessions.items():
            self._relearn(session_id, requirements)

    def hear(self, facts: Sequence[Fact]) -> None:
        """Follow sessions and requirements, and wake waiters for work that appeared."""
        for fact in facts:
            match fact:
                case JobChanged():
                    self._wake(self._wishing.get(fact.job_id, {}))
                case Claimable():
                    self._offer(fact.requirement_id, fact.count)
                case RequirementAdded():
                    for session_id in fact.session_ids:
                        self._learn(session_id, {fact.requirement_id})
                case SessionOpened():
                    self._learn(fact.session_id, fact.requirement_ids)
                case SessionChanged():
                    self._relearn(fact.session_id, fact.requirement_ids)
                    self._wake(self._of_session.get(fact.session_id, {}))
                case SessionEnded():
                    self._dismiss(fact.session_id)
                case _:
                    pass

    def _relearn(self, session_id: str, requirements: AbstractSet[int]) -> None:
        self._satisfied[session_id] = set()
        for waiter in self._of_session.get(session_id, {}):
            self._strike(waiter, waiter.requirements - requirements)
        self._learn(session_id, requirements)

    def _learn(self, session_id: str, requirements: AbstractSet[int]) -> None:
        self._satisfied.setdefault(session_id, set()).update(requirements)
        for waiter in self._of_session.get(session_id, {}):
            self._enlist(waiter, requirements)

    def _enlist(self, waiter: Waiter, requirements: AbstractSet[int]) -> None:
        if waiter.job_id is not None:
            return
        waiter.requirements |= requirements
        for requirement in requirements:
            self._waiting.setdefault(requirement, {})[waiter] = None

    def _dismiss(self, session_id: str) -> None:
        """Wake a session's waiters to learn that it is over; nothing more is promised to them."""
        self._satisfied.pop(session_id, None)
        waiters = self._of_session.get(session_id, {})
        for waiter in waiters:
            self._strike(waiter, waiter.requirements)
        self._wake(waiters)

    def _offer(self, requirement: int, count: int) -> None:
        """Promise `count` jobs to waiters that satisfy the requirement, the longest waiting first.

        Whoever is promised one goes behind all others, so jobs are spread over everybody who is
        free, whether they come one by one or as a crowd. A promise binds nobody: whoever claims
        first has the job.
        """
        waiting = self._waiting.get(requirement, {})
        full = 0
        while count > 0 and full < len(waiting):
            waiter = next(iter(waiting))
            waiting[waiter] = waiting.pop(waiter)
            if waiter.is_restricted:
                waiter.wake()
            if waiter.is_restricted or waiter.room <= 0:
                full += 1
                continue
            waiter.promised[requirement] += 1
            waiter.wake()
            full, count = 0, count - 1

    @staticmethod
    def _wake(waiters: Mapping[Waiter, None]) -> None:
        for waiter in waiters:
            waiter.wake()

    @contextmanager
    def waiter(self, session_id: str, slots: int, job_id: str | None = None) -> Iterator[Waiter]:
        """Give a place in the queue for the length of a claim, from before its first look.

        What was promised to one that leaves without looking again is promised to the next.
        """
        waiter = Waiter(session_id, slots, job_id)
        if job_id is not None:
            self._wishing.setdefault(job_id, {})[waiter] = None
        self._of_session.setdefault(session_id, {})[waiter] = None
        self._enlist(waiter, self._satisfied.get(session_id, frozenset()))
        try:
            yield waiter
        finally:
            self._remove(waiter)
            self.pass_on(waiter.promised)

    def _remove(self, waiter: Waiter) -> None:
        _discard(self._of_session, waiter.session_id, waiter)
        if waiter.job_id is not None:
            _discard(self._wishing, waiter.job_id, waiter)
        self._strike(waiter, waiter.requirements)

    def _strike(self, waiter: Waiter, requirements: AbstractSet[int]) -> None:
        for requirement in requirements:
            _discard(self._waiting, requirement, waiter)
        waiter.requirements = waiter.requirements - requirements

    def restrict(self, waiter: Waiter, *, restricted: bool) -> None:
        """Know whether anything may be promised to it; what was already is promised to others."""
        waiter.is_restricted = restricted
        if restricted and waiter.promised:
            promised, waiter.promised = waiter.promised, Counter()
            self.pass_on(promised)

    def pass_on(self, promises: Mapping[int, int]) -> None:
        """Promise to others what one waiter could not take."""
        for requirement, count in promises.items():
            self._offer(requirement, count)

    def is_closing(self) -> bool:
        """Tell whether the server stops, so that nobody begins to wait."""
        return self._closing

    def close(self) -> None:
        """Wake everybody for good: the server stops."""
        self._closing = True
        self.wake_everybody()

    def wake_everybody(self) -> None:
        """Let every waiting claim look again: nobody knows what there is."""
        for waiters in self._of_session.values():
            self._wake(waiters)


def _discard(index: dict[K, dict[Waiter, None]], key: K, waiter: Waiter) -> None:
    waiters = index.get(key, {})
    waiters.pop(waiter, None)
    if not waiters:
        index.pop(key, None)
