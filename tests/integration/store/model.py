"""The server in plain Python: the same operations on dictionaries, decided by the same core.

It is slow, has no SQL, and is written from the rules rather than from the code, so that the
database can be held against it. What it answers, and what is true of every job after each step,
must be the same.
"""

import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from orchestrator.core import job as core
from orchestrator.core.job_lifecycle import LIVE, PENDING, TERMINAL
from orchestrator.core.lease import advanced, latest_over
from orchestrator.core.matching import Offer, Requirement, satisfies
from orchestrator.core.rank import head_of_queue, rank
from orchestrator.protocol.words import Directive, JobState, Outcome, Reason, Verdict

Pair = tuple[str, int]
UNKNOWN = {Outcome.LOST, Outcome.INDETERMINATE}
STATED = {*UNKNOWN, Outcome.RELEASED}


@dataclass
class ModelJob:
    """A job, as far as anybody can tell."""

    rules: core.Job
    requirement: Requirement
    priority: int
    rank: int
    due_us: int | None = None
    reason: Reason | None = None
    attempt: int = 0
    session: str | None = None
    keys: dict[str, int] = field(default_factory=dict)
    """How many may hold each of its keys."""
    patience_us: int = 0
    held_due_us: int | None = None

    @property
    def state(self) -> JobState:
        """Return where it is in its life."""
        return self.rules.state


@dataclass
class ModelAttempt:
    """An attempt."""

    session: str
    worker: str
    claim: int
    claimed_lease: int
    started: bool = False
    outcome: Outcome | None = None
    reason: Reason | None = None
    code: int | None = None
    late: bool = False


@dataclass
class ModelSession:
    """A session."""

    worker: str
    spool: str
    offer: Offer
    renewed_lease: int
    claim: int = 0
    open: bool = True


@dataclass
class Model:
    """Everything that is true."""

    now_us: int = 0
    lease_now: int = 0
    floor: int = 0
    max_running: int | None = None
    paused: bool = False
    jobs: dict[str, ModelJob] = field(default_factory=dict)
    attempts: dict[Pair, ModelAttempt] = field(default_factory=dict)
    sessions: dict[str, ModelSession] = field(default_factory=dict)

    # What becomes of a job

    def _apply(self, job_id: str, happened: core.Happening) -> None:
        job = self.jobs[job_id]
        draw = zlib.crc32(f"{job_id}.{job.attempt}".encode()) / 2**32
        change = core.decide(job.rules, happened, now_us=self.now_us, draw=draw)
        if change.state is JobState.QUEUED:
            due, back = job.due_us, head_of_queue(job.rank, self.now_us, job.priority)
            fell_due = isinstance(happened, core.FellDue) and due is not None
            job.rank = rank(due, job.priority) if fell_due and due is not None else back
        job.rules = replace(
            job.rules, state=change.state, failures=change.failures, lost=change.lost
        )
        job.due_us, job.reason = change.due_us, change.reason
        if change.state not in LIVE:
            job.session = None

    def _end(self, pair: Pair, happened: core.Happening, outcome: Outcome) -> None:
        self._apply(pair[0], happened)
        self.attempts[pair].outcome = outcome
        if outcome in UNKNOWN and isinstance(happened, core.Lost):
            self.attempts[pair].reason = Reason.WORKER_LOST

    def entitled(self, session: str) -> list[Pair]:
        """Return the attempts for which a session may speak."""
        return [
            (job_id, job.attempt) for job_id, job in self.jobs.items() if job.session == session
        ]

    # What people ask

    def submit(self, job_id: str, job: ModelJob) -> None:
        """Take a job in."""
        self.jobs[job_id] = job

    def cancel(self, job_id: str, *, force: bool = False) -> JobState:
        """Ask for a job's end; by force it is over, and nobody knows how its attempt ended."""
        job = self.jobs[job_id]
        if job.state in TERMINAL:
            return job.state
        if force and job.session is not None:
            pair = (job_id, job.attempt)
            self._end(pair, core.CancelAsked(force=True), Outcome.INDETERMINATE)
            self.attempts[pair].reason = Reason.CANCELLED_BY_USER
        else:
            self._apply(job_id, core.CancelAsked(force=force))
        return job.state

    def hold(self, job_id: str) -> bool:
        """Keep a job back; tell whether it could be."""
        job = self.jobs[job_id]
        if job.state is JobState.HELD:
            return True
        if job.state not in PENDING:
            return False
        job.held_due_us = job.due_us
        self._apply(job_id, core.HoldAsked())
        return True

    def release(self, job_id: str) -> bool:
        """Let a job go; refuse one that nobody keeps back."""
        if self.jobs[job_id].state is not JobState.HELD:
            return False
        self._apply(job_id, core.ReleaseAsked(self.jobs[job_id].held_due_us))
        return True

    # What workers ask

    def connect(
        self, new: str, session: ModelSession, held: Iterable[tuple[Pair, str]], *, takeover: bool
    ) -> list[Verdict] | None:
        """Open a session; return a verdict for each held attempt, or `None` for a refusal."""
        old = next(
            (
                name
                for name, one in self.sessions.items()
                if one.worker == session.worker and one.open
            ),
            None,
        )
        if old is not None:
            if self.sessions[old].spool != session.spool:
                if not takeover and not self._is_over(self.sessions[old].renewed_lease):
                    return None
                self._lose(self.entitled(old), Outcome.LOST)
            self.sessions[old].open = False
        self.sessions[new] = session
        same = {
            name
            for name, one in self.sessions.items()
            if (one.worker, one.spool) == (session.worker, session.spool)
        }
        live = {pair for name in same for pair in self.entitled(name)}
        held = list(held)
        self._lose(sorted(live - {pair for pair, _ in held}), Outcome.INDETERMINATE)
        for pair in live & {pair for pair, _ in held}:
            self.jobs[pair[0]].session = self.attempts[pair].session = new
            self.attempts[pair].claim = 0
        return [self._verdict(pair, phase, live, session.worker) for pair, phase in held]

    def _verdict(self, pair: Pair, phase: str, live: set[Pair], worker: str) -> Verdict:
        if pair in live:
            return Verdict.REPORT if phase == "ended" else Verdict.KEEP
        known = self.attempts.get(pair)
        given_up = known and known.worker == worker and known.outcome in UNKNOWN
        wanted = phase == "ended" and given_up and known and not known.late
        return Verdict.REPORT if wanted else Verdict.ABANDON

    def _lose(self, pairs: Iterable[Pair], outcome: Outcome) -> None:
        for pair in pairs:
            self._end(pair, core.Lost(), outcome)

    def may_run(self, session: str, pair: Pair) -> bool:
        """Tell whether what waited for its start to be recorded may begin."""
        known = pair in self.attempts and pair in self.entitled(session)
        return known and self.jobs[pair[0]].state is JobState.RUNNING

    def _is_over(self, stamp: int, patience_us: int = 0) -> bool:
        return stamp + patience_us <= latest_over(now=self.lease_now, floor=self.floor)

    def claim(self, name: str, number: int, slots: int) -> list[Pair] | None:
        """Return the attempts of a claim, or `None` when the session is over."""
        session = self.sessions[name]
        if not session.open:
            return None
        if number <= session.claim:
            again = [p for p in self.entitled(name) if self.attempts[p].claim == number]
            again.sort(key=lambda pair: (self.jobs[pair[0]].rank, pair[0]))
            return again if number == session.claim else []
        queue = sorted(
            (job.rank, job_id)
            for job_id, job in self.jobs.items()
            if job.state is JobState.QUEUED and satisfies(session.offer, job.requirement)
        )
        granted: list[Pair] = []
        for _, job_id in queue:
            job = self.jobs[job_id]
            if len(granted) == slots or not self._is_open(job):
                continue
            self._apply(job_id, core.Claimed())
            job.attempt += 1
            job.session = name
            pair = (job_id, job.attempt)
            self.attempts[pair] = ModelAttempt(name, session.worker, number, self.lease_now)
            granted.append(pair)
        if granted:
            session.claim = number
        return granted

    def _is_open(self, wanted: ModelJob) -> bool:
        """Tell whether nothing that is shared keeps a job back."""
        live = [job for job in self.jobs.values() if job.session is not None]
        held = Counter(key for job in live for key in job.keys)
        return (
            not self.paused
            and (self.max_running is None or len(live) < self.max_running)
            and all(held[key] < limit for key, limit in wanted.keys.items())
        )

    def tell(
        self, name: str, pair: Pair, words: list[tuple[str, core.Ended | None]]
    ) -> tuple[bool, Directive | None]:
        """Apply events of one attempt; return whether it is settled, and a directive."""
        attempt = self.attempts.get(pair)
        if attempt is None or attempt.worker != self.sessions[name].worker:
            return False, Directive.ABANDON
        settled = abandon = False
        for word, end in words:
            mine = self.jobs[pair[0]].session == name and pair in self.entitled(name)
            if mine and attempt.outcome is None:
                settled = self._told(pair, word, end)
            elif self._repeated(attempt, word, end):
                settled = True
            elif end is not None and attempt.outcome is not None:
                abandon = attempt.late = True
            elif attempt.outcome in {None, *STATED} or attempt.session != name:
                abandon = True
        return settled, Directive.ABANDON if abandon and not settled else None

    def _told(self, pair: Pair, word: str, end: core.Ended | None) -> bool:
        attempt = self.attempts[pair]
        if end is not None:
            self._end(pair, end, end.outcome)
            attempt.reason, attempt.code = end.reason, end.exit_code
            return True
        if word == "released":
            self._end(pair, core.Released(), Outcome.RELEASED)
            return True
        if not attempt.started:
            attempt.started = True
            self._apply(pair[0], core.Started())
        return False

    @staticmethod
    def _repeated(attempt: ModelAttempt, word: str, end: core.Ended | None) -> bool:
        if end is not None:
            said = (end.outcome, end.reason, end.exit_code)
            return (attempt.outcome, attempt.reason, attempt.code) == said
        return word == "released" and attempt.outcome is Outcome.RELEASED

    def heartbeat(
        self, name: str, listed: dict[Pair, bool], seen: int
    ) -> set[tuple[Pair, Directive]] | None:
        """Renew a session and return the orders, or `None` when it is over."""
        session = self.sessions[name]
        if not session.open:
            return None
        session.renewed_lease = self.lease_now
        live = self.entitled(name)
        for pair in live:
            attempt = self.attempts[pair]
            if pair not in listed and not attempt.started and attempt.claim <= seen:
                self._end(pair, core.Released(), Outcome.RELEASED)
        orders = {
            (pair, Directive.CANCEL)
            for pair in live
            if self.jobs[pair[0]].state is JobState.CANCELLING and not listed.get(pair)
        }
        for pair in listed.keys() - set(live):
            known = self.attempts.get(pair)
            ended = known and known.session == name and known.outcome not in {None, *STATED}
            if not ended:
                orders.add((pair, Directive.ABANDON))
        return orders

    def goodbye(self, name: str) -> None:
        """End a session in order."""
        if self.sessions[name].open:
            for pair in self.entitled(name):
                if not self.attempts[pair].started:
                    self._end(pair, core.Released(), Outcome.RELEASED)
            self.sessions[name].open = False

    # What happens by itself

    def tick(self, elapsed_us: int) -> int:
        """Let the lease clock go on; return how many attempts were lost."""
        self.lease_now = advanced(self.lease_now, elapsed_us=elapsed_us)
        over = [
            (job_id, job.attempt)
            for job_id, job in self.jobs.items()
            if job.session is not None
            and self._is_over(
                max(
                    self.attempts[job_id, job.attempt].claimed_lease,
                    self.sessions[job.session].renewed_lease,
                ),
                job.patience_us,
            )
        ]
        self._lose(over, Outcome.LOST)
        return len(over)

    def queue_due(self) -> None:
        """Put jobs in the queue whose moment has come."""
        for job_id, job in self.jobs.items():
            if job.due_us is not None and job.due_us <= self.now_us:
                self._apply(job_id, core.FellDue())

    def begin(self) -> None:
        """Start again after a stop."""
        self.floor = self.lease_now
