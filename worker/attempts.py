"""All attempts of a worker: who has a slot, who is to be told, who hears an order.

It decides nothing about one of them: each has its runner, and the rules behind it.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Final, NamedTuple

from anyio.abc import TaskGroup

from orchestrator.kernel.bell import Bell
from orchestrator.kernel.errors import PeerBroken
from orchestrator.protocol.ids import is_id
from orchestrator.protocol.wire import Ended, Grant, HeldAttempt, HeldVerdict, LiveAttempt
from orchestrator.protocol.words import Directive, Execution, Outcome, Verdict
from worker.capacity import Capacity
from worker.logic.attempt import Abandon, Acknowledged, Attempt, Key, Prepared, Recorded, StopAsked
from worker.logic.lifecycle import OCCUPYING, AttemptState
from worker.records import Cause
from worker.runner import Runner, Tools
from worker.spool import AttemptLog

UNSETTLED_MAX: Final = 5_000
"""Ends that nobody acknowledges, before nothing more is taken: half of what a session may hold."""
_ITS_OWN: Final = 0.0
"""The grace of what an earlier process started: its shim goes by its grant, and is told none."""


class Quota(NamedTuple):
    """What a worker takes in its life."""

    jobs: int | None = None
    """How many; `None`: as many as there are."""
    job_id: str | None = None
    """Only that one. It counts also if an earlier process of this worker began it."""


class Attempts:
    """The attempts that are here, from their grant until the server has their end."""

    def __init__(
        self,
        group: TaskGroup,
        tools: Tools,
        capacity: Capacity,
        changed: Bell,
        quota: Quota,
    ) -> None:
        self.changed = changed
        """Rings also when a slot may have become free, or the last attempt has gone."""
        self.granted = 0
        """How many were granted to this process; what was found here is none of them."""
        self.telling_end: Ended | None = None
        """How the first of those ended that did not succeed; or else any of them."""
        self.ended: Counter[str] = Counter()
        """How many ended in which way since this process began."""
        self.ended_kinds: Counter[str] = Counter()
        """The same, of each kind."""
        self.leftovers = 0
        """Processes that those had left behind, and that were killed."""
        self._group = group
        self._tools = tools
        self._capacity = capacity
        self._runners: dict[Key, Runner] = {}
        self._occupied: set[Key] = set()
        self._quota = quota
        self._begun: set[Key] = set()

    @property
    def free(self) -> int:
        """Return how many attempts can be taken now."""
        free = min(self._capacity.now - len(self._occupied), UNSETTLED_MAX - len(self._runners))
        if self._quota.jobs is not None:
            # What is being made ready may begin.
            free = min(free, self._quota.jobs - len(self._begun | self._occupied))
        return free

    @property
    def busy(self) -> bool:
        """Tell whether anything runs, or may."""
        return bool(self._occupied)

    @property
    def unsettled(self) -> bool:
        """Tell whether there is anything that the server does not know yet."""
        return bool(self._runners)

    @property
    def begun(self) -> int:
        """Return how many of those ran or were refused, rather than given back to others."""
        return len(self._begun)

    def running(self) -> list[Runner]:
        """Return all that has a slot, the oldest first."""
        return [runner for key, runner in self._runners.items() if key in self._occupied]

    def keys(self) -> set[Key]:
        """Return which attempts are here."""
        return set(self._runners)

    def take(self, grant: Grant) -> None:
        """Run an attempt that was granted."""
        if not is_id("job", grant.job_id) or grant.attempt < 1:
            # It becomes a part of paths, so nothing is taken for granted.
            raise PeerBroken(f"the server granted {grant.job_id!r}, attempt {grant.attempt}")
        key = Key(grant.job_id, grant.attempt)
        if key not in self._runners:
            once = grant.execution is Execution.AT_MOST_ONCE
            runner = self._add(Attempt(key, self._grace_s(grant), once))
            runner.name, runner.kind = grant.name, grant.kind
            self._group.start_soon(runner.run, grant)
            self.granted += 1
            self.changed.ring()

    def _grace_s(self, grant: Grant) -> float:
        """Return how long it may take to end: as its job says, else as this worker does."""
        return self._tools.terms.now.kill_grace_s if grant.grace_s is None else grant.grace_s

    def adopt(self, found: Iterable[AttemptLog]) -> None:
        """Follow what an earlier process of this worker has started."""
        for log in found:
            key = Key(log.job_id, log.attempt)
            runner = self._add(Attempt(key, _ITS_OWN))
            runner.happened(Prepared())
            runner.found()
            self._group.start_soon(runner.follow, log)

    def _add(self, attempt: Attempt) -> Runner:
        runner = self._runners[attempt.key] = Runner(attempt, self._tools, self._moved)
        self._occupied.add(attempt.key)
        self._tools.courier.outbox.open(attempt.key)
        return runner

    def _moved(self, runner: Runner, before: AttemptState) -> None:
        key, state = runner.attempt.key, runner.attempt.state
        if state is AttemptState.SETTLED:
            del self._runners[key]
        if state not in OCCUPYING and before in OCCUPYING:
            self._occupied.discard(key)
            self._count(runner)
        if not runner.was_found or key.job_id == self._quota.job_id:
            self._note_begun(runner.attempt)
        if state is AttemptState.ABANDONED:
            self._tools.courier.forget(key)
        self.changed.ring()

    def _note_begun(self, attempt: Attempt) -> None:
        if attempt.state is AttemptState.RUNNING or attempt.end is not None:
            self._begun.add(attempt.key)
        told = self.telling_end
        if attempt.end is not None and (told is None or told.outcome is Outcome.SUCCEEDED):
            self.telling_end = attempt.end

    def _count(self, runner: Runner) -> None:
        if (end := runner.attempt.end) is not None:
            self.ended[str(end.outcome)] += 1
            self.ended_kinds[runner.kind] += 1
            self.leftovers += end.leftovers

    def live(self) -> list[LiveAttempt]:
        """Return all that the server should know to be here."""
        return [
            LiveAttempt(job_id=key.job_id, attempt=key.number, cancelling=runner.attempt.cancelling)
            for key, runner in self._runners.items()
            if runner.attempt.is_ours and not self._tools.courier.is_silent(key)
        ]

    def held(self) -> list[HeldAttempt]:
        """Return what a new session is told of."""
        return [
            HeldAttempt(job_id=key.job_id, attempt=key.number, phase=runner.phase)
            for key, runner in self._runners.items()
            if runner.attempt.is_ours and not self._tools.courier.is_silent(key)
        ]

    def judge(self, verdicts: Iterable[HeldVerdict]) -> None:
        """Hear what a new session says about what we hold."""
        for verdict in verdicts:
            key = Key(verdict.job_id, verdict.attempt)
            if verdict.verdict is Verdict.ABANDON:
                self.order(key, Directive.ABANDON)
            else:
                self._tools.courier.resume(key, verdict.output_offset)

    def order(self, key: Key, directive: Directive) -> bool:
        """Hear an order; tell whether it was any news."""
        runner = self._runners.get(key)
        if runner is None:
            return False
        before = runner.attempt
        runner.happened(Abandon() if directive is Directive.ABANDON else StopAsked(Cause.CANCELLED))
        return runner.attempt != before

    def recorded(self, key: Key) -> None:
        """Hear that the server has a start: what waited for that may begin."""
        runner = self._runners.get(key)
        if runner is not None and runner.attempt.state is AttemptState.ANNOUNCED:
            runner.happened(Recorded())

    def settled(self, key: Key) -> None:
        """Hear that the server has an end, for good."""
        if (runner := self._runners.get(key)) is not None:
            runner.happened(Acknowledged())

    def refused(self, key: Key) -> None:
        """Hear that the server did not understand what was said of an attempt."""
        if (runner := self._runners.get(key)) is not None:
            runner.refused()

    def taken(self, key: Key, offset: int) -> None:
        """Hear how much output of an attempt the server has."""
        if (runner := self._runners.get(key)) is not None:
            runner.taken(offset)

    def preempt(self) -> None:
        """Interrupt everything: this worker must go."""
        for runner in list(self._runners.values()):
            runner.happened(StopAsked(Cause.PREEMPTED))
