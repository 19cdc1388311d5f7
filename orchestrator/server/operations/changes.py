"""Write down what the core decided: the rows, the timeline and the facts, all of them at once.

An operation collects its changes here and saves them in one go, so a report about three hundred
attempts is five statements. Every UPDATE carries the guard of what was loaded (the attempt, the
session, the state), so the statement that would apply a stale decision refuses it instead.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from pydantic_core import to_json

from orchestrator.core.job import Change, DependenciesMet, decide
from orchestrator.core.job_lifecycle import LIVE, JobEvent
from orchestrator.core.rank import head_of_queue, rank
from orchestrator.kernel.errors import invariant
from orchestrator.protocol.base import moment
from orchestrator.protocol.words import JobEventType, JobState, Outcome, PendingReason, Reason
from orchestrator.server.facts import Claimable, Fact, JobChanged, Scheduled
from orchestrator.server.operations.batch_rows import stop_failing
from orchestrator.server.operations.breakers import Over, note_ends
from orchestrator.server.operations.dead_letters import mark_dead
from orchestrator.server.operations.dependents import FAN_OUT, Following, following, forget
from orchestrator.server.operations.lines import call_out
from orchestrator.server.operations.records import AttemptRecord, Held, JobRecord
from orchestrator.server.operations.standing import settle
from orchestrator.server.store.interface import Transaction, Value

# Why a job is being ended is said before its attempt is over, which may have no words of its own.
_UPDATE_JOB: Final = f"""
    UPDATE job SET state = :state, reason = :reason, pending_reason = :pending_reason,
        message = CASE WHEN state = '{JobState.CANCELLING}'
            THEN coalesce(:message, message) ELSE :message END,
        rank = :rank, due_us = :due_us, failures = :failures, lost = :lost,
        session_id = :session_id, worker_id = :worker_id, event_seq = :event_seq,
        expires_us = :expires_us, deadline_us = :deadline_us, exit_code = :exit_code,
        signal = :signal, result = :result, started_us = :started_us, finished_us = :finished_us
    WHERE id = :id AND attempt = :attempt AND state = :was_state AND event_seq = :was_seq
        AND coalesce(session_id, '') = :was_session
"""
_TOUCH_JOB: Final = """
    UPDATE job SET event_seq = :event_seq WHERE id = :id AND event_seq = :was_seq
"""
_UPDATE_ATTEMPT: Final = """
    UPDATE attempt SET session_id = :session_id, claim_number = :claim_number,
        started_us = :started_us, finished_us = :finished_us, pid = :pid, outcome = :outcome,
        reason = :reason, message = :message, exit_code = :exit_code, signal = :signal,
        missing_bytes = :missing_bytes, declared_stdout = :declared_stdout,
        declared_stderr = :declared_stderr, leftovers = :leftovers, raw_result = :raw_result
    WHERE job_id = :job_id AND number = :number AND session_id = :was_session AND outcome IS NULL
"""
INSERT_EVENT: Final = """
    INSERT INTO job_event (job_id, seq, at_us, type, attempt, data)
    VALUES (:job_id, :seq, :at_us, :type, :attempt, :data)
"""
_ENDINGS: Final = {
    Outcome.RELEASED: JobEventType.RELEASED,
    Outcome.PREEMPTED: JobEventType.PREEMPTED,
    Outcome.LOST: JobEventType.LOST,
    Outcome.INDETERMINATE: JobEventType.LOST,
}
"""What the timeline calls the end of an attempt; every other outcome is plainly `ended`."""


def encoded(data: Mapping[str, Any]) -> str | None:
    """Return the JSON of an event's data without what is not known; `None` for nothing."""
    known = {key: value for key, value in data.items() if value is not None}
    return to_json(known).decode() if known else None


@lru_cache(maxsize=1024)
def _ending(
    outcome: Outcome, reason: Reason | None, exit_code: int | None, signal: int | None
) -> str | None:
    """Return the data of an end; most ends are alike, so most are encoded already."""
    words = {"outcome": outcome, "reason": reason, "exit_code": exit_code, "signal": signal}
    return encoded(words)


@lru_cache(maxsize=256)
def _finish(state: JobState, reason: Reason | None) -> str | None:
    return encoded({"state": state, "reason": reason})


class Changes:
    """Everything that one operation does to jobs and their attempts."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._jobs: dict[str, JobRecord] = {}
        self._attempts: dict[tuple[str, int], tuple[str, AttemptRecord]] = {}
        self._touched: dict[str, JobRecord] = {}
        self._events: list[dict[str, Value]] = []
        self._facts: list[Fact] = []
        self._claimable: Counter[int] = Counter()
        self._lines: set[int] = set()
        self._dead: list[JobRecord] = []
        self._unbound: list[str] = []
        self._awaited: list[str] = []
        self._over: list[Over] = []
        self._failing: set[str] = set()

    def tell(
        self,
        job: JobRecord,
        type: JobEventType,
        *,
        attempt: int | None = None,
        data: str | None = None,
    ) -> None:
        """Add a line to the job's timeline."""
        job.event_seq += 1
        self._touched[job.id] = job
        self._events.append(
            {
                "job_id": job.id,
                "seq": job.event_seq,
                "at_us": self._tx.now_us,
                "type": type,
                "attempt": attempt,
                "data": data,
            }
        )

    def announce(self, fact: Fact) -> None:
        """Let subscribers know, after the facts about the jobs."""
        self._facts.append(fact)

    def update_attempt(self, job: JobRecord, attempt: AttemptRecord) -> None:
        """Write the attempt's row with the rest."""
        self._attempts[job.id, attempt.number] = (job.id, attempt)

    def hand_over(self, job: JobRecord) -> None:
        """Write that another session is entitled now; nothing else changes."""
        if job.state is JobState.LEASED:
            job.pending_reason = PendingReason.STARTING
        self._jobs[job.id] = job

    def become(self, job: JobRecord, change: Change) -> None:
        """Let the job become what was decided, and tell what follows from that."""
        if change.state is JobState.QUEUED:
            job.rank = self._place(job, change)
            self._claimable[job.requirement_id] += 1
            self._lines.add(job.line_id)
        job.state = change.state
        job.failures, job.lost = change.failures, change.lost
        job.reason, job.pending_reason = change.reason, change.pending_reason
        job.due_us = change.due_us
        self._jobs[job.id] = job
        self._watch_moments(job, change)
        if change.state in LIVE:
            return
        job.session_id = None
        if not change.finished:
            job.started_us = job.worker_id = None
        if JobEvent.RETRY_PLANNED in change.path and change.due_us is not None:
            due_at = moment(change.due_us)
            self.tell(job, JobEventType.RETRY_PLANNED, data=encoded({"due_at": due_at}))
            self._facts.append(Scheduled(change.due_us))
        if change.state is JobState.FAILED:
            self._dead.append(job)
        if change.finished:
            self._finish(job, change)

    def _finish(self, job: JobRecord, change: Change) -> None:
        job.finished_us = job.finished_us or self._tx.now_us
        self.tell(job, JobEventType.FINISHED, data=_finish(change.state, change.reason))
        if job.was[0] in {JobState.BLOCKED, JobState.HELD}:
            self._unbound.append(job.id)
        if job.awaited:
            self._awaited.append(job.id)
        is_own = change.state is JobState.FAILED and change.reason is not Reason.DEPENDENCY_FAILED
        if is_own and job.batch_id is not None:
            self._failing.add(job.batch_id)

    def _watch_moments(self, job: JobRecord, change: Change) -> None:
        """Let a job that may have begun not expire, and one that is being ended not be late."""
        if change.state is JobState.CANCELLING or change.finished:
            job.deadline_us = None
        begun = change.state is JobState.RUNNING or JobEvent.RESTORED in change.path
        if begun or change.finished:
            job.expires_us = None
        elif job.expires_us is not None and job.was[1]:
            self._facts.append(Scheduled(job.expires_us))  # the clock does not watch what is leased

    def _place(self, job: JobRecord, change: Change) -> int:
        """Return its place in the queue; a job that only comes back does not lose its own."""
        if JobEvent.FELL_DUE in change.path and job.due_us is not None:
            return rank(job.due_us, job.priority)
        if JobEvent.DEPENDENCIES_MET in change.path:
            return rank(self._tx.now_us, job.priority)
        return head_of_queue(job.rank, self._tx.now_us, job.priority)

    def end(self, held: Held, outcome: Outcome, change: Change) -> None:
        """Let the attempt be over, and the job become what was decided of it."""
        job, attempt = held.job, held.attempt
        attempt.outcome = outcome
        attempt.finished_us = attempt.finished_us or self._tx.now_us
        self.update_attempt(job, attempt)
        words = _ending(outcome, attempt.reason, attempt.exit_code, attempt.signal)
        ending = _ENDINGS.get(outcome, JobEventType.ENDED)
        self.tell(job, ending, attempt=attempt.number, data=words)
        if outcome is not Outcome.RELEASED:
            job.expires_us = None  # nobody can say that nothing of it ran
        if change.finished:
            job.finished_us = attempt.finished_us
            job.exit_code, job.signal = attempt.exit_code, attempt.signal
            job.message = attempt.message
        self.become(job, change)
        self._over.append(Over(held, outcome))

    def follow(self, parents: Sequence[str]) -> None:
        """Have the dependants of jobs that are over looked after when this is saved."""
        self._awaited += parents

    def save(self) -> None:
        """Write everything and announce it, and then what follows from it for other jobs."""
        self._write()
        room = FAN_OUT
        while self._awaited:
            parents, self._awaited = self._awaited, []
            followed = following(self._tx, parents, limit=room)
            room -= followed.looked_at
            for one in followed.all:
                self.bring(one)
            self._write()

    def bring(self, one: Following) -> None:
        """Let a job go on, fail or be held, now that what it depends on is over."""
        job = one.job
        change = decide(job.rules(), one.happened, now_us=self._tx.now_us)
        job.message = one.message
        if isinstance(one.happened, DependenciesMet):
            self.tell(job, JobEventType.DEPENDENCIES_MET)
        elif change.state is JobState.HELD:
            words = encoded({"by": "policy", "comment": one.message})
            self.tell(job, JobEventType.HELD, data=words)
        self.become(job, change)
        if change.due_us is not None:
            self.announce(Scheduled(change.due_us))

    def _write(self) -> None:
        self._save_attempts()
        self._save_jobs()
        if self._dead:
            mark_dead(self._tx, self._dead)
        if self._over:
            note_ends(self._tx, self._over)
        if self._events:
            self._tx.many(INSERT_EVENT, self._events)
        for job in self._touched.values():
            self._tx.announce(JobChanged(job.id))
        settle(self._tx, sorted(self._lines))
        for requirement_id, count in self._claimable.items():
            self._tx.announce(Claimable(requirement_id, count))
        call_out(self._tx, self._freed())
        for fact in self._facts:
            self._tx.announce(fact)
        if self._unbound:
            forget(self._tx, self._unbound)
        if self._failing:
            stop_failing(self._tx, sorted(self._failing))
        self._clear()

    def _clear(self) -> None:
        """Begin anew, but for what is to be followed."""
        self._jobs, self._attempts, self._touched = {}, {}, {}
        self._events, self._facts, self._dead, self._unbound = [], [], [], []
        self._over, self._lines = [], set()
        self._claimable = Counter()
        self._failing = set()

    def _freed(self) -> list[tuple[int, str]]:
        """Return the line and the queue of each job that had an attempt and has none any more."""
        jobs = self._jobs.values()
        return [(job.line_id, job.queue) for job in jobs if job.was[1] and job.session_id is None]

    def _save_attempts(self) -> None:
        if self._attempts:
            rows = [_attempt_row(job_id, attempt) for job_id, attempt in self._attempts.values()]
            written = self._tx.many(_UPDATE_ATTEMPT, rows)
            invariant(written == len(rows), "an attempt changed while it was being decided")

    def _save_jobs(self) -> None:
        rows = [_job_row(job) for job in self._jobs.values()]
        if rows:
            written = self._tx.many(_UPDATE_JOB, rows)
            invariant(written == len(rows), "a job changed while it was being decided")
        only_told: list[dict[str, Value]] = [
            {"id": job.id, "event_seq": job.event_seq, "was_seq": job.was[2]}
            for job in self._touched.values()
            if job.id not in self._jobs
        ]
        if only_told:
            written = self._tx.many(_TOUCH_JOB, only_told)
            invariant(written == len(only_told), "a timeline grew while it was being written")


def _job_row(job: JobRecord) -> dict[str, Value]:
    was_state, was_session, was_seq = job.was
    return {
        "id": job.id,
        "attempt": job.attempt,
        "was_state": was_state,
        "was_session": was_session,
        "was_seq": was_seq,
        "state": job.state,
        "reason": job.reason,
        "pending_reason": job.pending_reason,
        "message": job.message,
        "rank": job.rank,
        "due_us": job.due_us,
        "failures": job.failures,
        "lost": job.lost,
        "session_id": job.session_id,
        "worker_id": job.worker_id,
        "event_seq": job.event_seq,
        "expires_us": job.expires_us,
        "deadline_us": job.deadline_us,
        "exit_code": job.exit_code,
        "signal": job.signal,
        "result": job.result,
        "started_us": job.started_us,
        "finished_us": job.finished_us,
    }


def _attempt_row(job_id: str, attempt: AttemptRecord) -> dict[str, Value]:
    return {
        "job_id": job_id,
        "number": attempt.number,
        "was_session": attempt.was_session,
        "session_id": attempt.session_id,
        "claim_number": attempt.claim_number,
        "started_us": attempt.started_us,
        "finished_us": attempt.finished_us,
        "pid": attempt.pid,
        "outcome": attempt.outcome,
        "reason": attempt.reason,
        "message": attempt.message,
        "exit_code": attempt.exit_code,
        "signal": attempt.signal,
        "missing_bytes": attempt.missing_bytes,
        "declared_stdout": attempt.declared_stdout,
        "declared_stderr": attempt.declared_stderr,
        "leftovers": attempt.leftovers,
        "raw_result": attempt.raw_result,
    }
