"""A job and an attempt as rows, while an operation holds them in its hands.

They know how they were when they were loaded: that is the guard with which `changes.py` writes them
back. What may become of them is decided in `orchestrator.core`, never here.
"""

import zlib
from dataclasses import dataclass, field
from typing import Final

from orchestrator.core.job import Job
from orchestrator.core.retry import RetryPolicy
from orchestrator.kernel.backoff import Backoff
from orchestrator.protocol.words import JobState, Outcome, PendingReason, Reason
from orchestrator.server.store.interface import Row

JOB_COLUMNS: Final = """
    job.id AS job_id, job.state, job.attempt AS job_attempt, job.session_id AS job_session_id,
    job.worker_id AS job_worker_id, job.requirement_id, job.priority, job.rank, job.due_us,
    job.failures, job.lost, job.max_lost, job.max_attempts, job.retry_initial_s, job.retry_factor,
    job.retry_max_s, job.event_seq, job.started_us AS job_started_us
"""
ATTEMPT_COLUMNS: Final = """
    attempt.number, attempt.session_id, attempt.worker_id, attempt.claim_number,
    attempt.claimed_us, attempt.started_us, attempt.pid, attempt.outcome, attempt.reason,
    attempt.exit_code, attempt.signal
"""
_ONCE: Final = RetryPolicy()


@dataclass(slots=True, eq=False)
class JobRecord:
    """A job's row. Fields without a default are loaded; the rest is only ever written."""

    id: str
    state: JobState
    attempt: int
    session_id: str | None
    worker_id: str | None
    requirement_id: int
    priority: int
    rank: int
    due_us: int | None
    failures: int
    lost: int
    max_lost: int
    retry: RetryPolicy
    event_seq: int
    started_us: int | None
    was: tuple[JobState, str, int] = field(init=False)
    reason: Reason | None = None
    pending_reason: PendingReason | None = None
    message: str | None = None
    exit_code: int | None = None
    signal: int | None = None
    result: str | None = None
    finished_us: int | None = None

    def __post_init__(self) -> None:
        self.was = (self.state, self.session_id or "", self.event_seq)

    @classmethod
    def of(cls, row: Row) -> "JobRecord":
        """Return the record of a row with `JOB_COLUMNS`."""
        return cls(
            id=row["job_id"],
            state=JobState(row["state"]),
            attempt=row["job_attempt"],
            session_id=row["job_session_id"],
            worker_id=row["job_worker_id"],
            requirement_id=row["requirement_id"],
            priority=row["priority"],
            rank=row["rank"],
            due_us=row["due_us"],
            failures=row["failures"],
            lost=row["lost"],
            max_lost=row["max_lost"],
            retry=_policy(row),
            event_seq=row["event_seq"],
            started_us=row["job_started_us"],
        )

    def rules(self) -> Job:
        """Return what the rules need to know of it."""
        return Job(self.state, self.failures, self.lost, self.retry, self.max_lost)

    def draw(self) -> float:
        """Return the jitter of its next retry: a number from [0, 1) that looks drawn.

        Ids hold 80 random bits, so their checksums spread a crowd of jobs as well as chance would,
        and the same operation on the same rows still gives the same answer.
        """
        return zlib.crc32(f"{self.id}.{self.attempt}".encode()) / 2**32


def _policy(row: Row) -> RetryPolicy:
    """Return the retry policy; most jobs have the default one, and need no new object."""
    if row["max_attempts"] == 1:
        return _ONCE
    backoff = Backoff(row["retry_initial_s"], row["retry_factor"], row["retry_max_s"])
    return RetryPolicy(row["max_attempts"], backoff)


@dataclass(slots=True, eq=False)
class AttemptRecord:
    """An attempt's row."""

    number: int
    session_id: str
    worker_id: str
    claim_number: int
    claimed_us: int
    started_us: int | None
    pid: int | None
    outcome: Outcome | None
    reason: Reason | None
    exit_code: int | None
    signal: int | None
    was_session: str = field(init=False)
    message: str | None = None
    finished_us: int | None = None
    missing_bytes: int = 0

    def __post_init__(self) -> None:
        self.was_session = self.session_id

    @classmethod
    def of(cls, row: Row) -> "AttemptRecord":
        """Return the record of a row with `ATTEMPT_COLUMNS`."""
        return cls(
            number=row["number"],
            session_id=row["session_id"],
            worker_id=row["worker_id"],
            claim_number=row["claim_number"],
            claimed_us=row["claimed_us"],
            started_us=row["started_us"],
            pid=row["pid"],
            outcome=None if row["outcome"] is None else Outcome(row["outcome"]),
            reason=None if row["reason"] is None else Reason(row["reason"]),
            exit_code=row["exit_code"],
            signal=row["signal"],
        )


@dataclass(slots=True, eq=False)
class Held:
    """An attempt together with its job: what every report is about."""

    job: JobRecord
    attempt: AttemptRecord

    def is_entitled(self, session_id: str) -> bool:
        """Tell whether that session may still speak for the attempt."""
        return (
            self.attempt.outcome is None
            and self.attempt.session_id == session_id
            and self.job.session_id == session_id
            and self.job.attempt == self.attempt.number
        )

    def believed(self, at_us: int, *, now_us: int) -> int:
        """Return a worker's moment as far as the server can believe it.

        Its clock may be wrong by hours; that something happened before it was claimed, or after
        it was heard of, is impossible.
        """
        earliest = max(self.attempt.claimed_us, self.attempt.started_us or 0)
        return min(max(at_us, earliest), max(now_us, earliest))
