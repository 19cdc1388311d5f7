"""A job and an attempt as rows, while an operation holds them in its hands.

They know how they were when they were loaded: that is the guard with which `changes.py` writes them
back. What may become of them is decided in `orchestrator.core`, never here.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic_core import from_json, to_json

from orchestrator.core.job import Job
from orchestrator.core.job_lifecycle import TERMINAL
from orchestrator.core.retry import RetryPolicy
from orchestrator.kernel.backoff import Backoff
from orchestrator.protocol.jobs import Retry
from orchestrator.protocol.words import Execution, JobState, Outcome, PendingReason, Reason

NOT_OVER: Final = ", ".join(f"'{state}'" for state in sorted(set(JobState) - TERMINAL))
"""The states of a job that is not over, for a statement."""
JOB_COLUMNS: Final = """
    job.id, job.state, job.attempt, job.session_id, job.worker_id, job.requirement_id, job.priority,
    job.rank, job.due_us, job.failures, job.lost, job.max_lost, job.retry, job.event_seq,
    job.started_us, job.execution, job.reason, job.awaited, job.expires_us, job.deadline_us,
    job.line_id, job.queue, job.batch_id
"""
JOB_WIDTH: Final = 23
ATTEMPT_COLUMNS: Final = """
    attempt.number, attempt.session_id, attempt.worker_id, attempt.claim_number,
    attempt.claimed_us, attempt.started_us, attempt.pid, attempt.outcome, attempt.reason,
    attempt.exit_code, attempt.signal
"""
ATTEMPT_WIDTH: Final = 11
_ONCE: Final = RetryPolicy()
"""What most jobs have, so it needs no new object for each."""
# Looked up, because calling an enum takes ten times as long.
_STATES: Final = {state.value: state for state in JobState}
_EXECUTIONS: Final = {execution.value: execution for execution in Execution}
_OUTCOMES: Final[Mapping[str | None, Outcome | None]] = {
    None: None,
    **{o.value: o for o in Outcome},
}
_REASONS: Final[Mapping[str | None, Reason | None]] = {None: None, **{r.value: r for r in Reason}}


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
    execution: Execution
    reason: Reason | None
    awaited: int
    expires_us: int | None
    deadline_us: int | None
    line_id: int
    queue: str
    batch_id: str | None
    was: tuple[JobState, str, int] = field(init=False)
    pending_reason: PendingReason | None = None
    message: str | None = None
    exit_code: int | None = None
    signal: int | None = None
    result: str | None = None
    finished_us: int | None = None
    last_line: str = ""
    """The last that its command wrote to stderr, if that is at hand when it ends."""

    def __post_init__(self) -> None:
        self.was = (self.state, self.session_id or "", self.event_seq)

    @classmethod
    def of(cls, values: Sequence[Any]) -> "JobRecord":
        """Return the record of a tuple that begins with `JOB_COLUMNS`."""
        retry = _policy(values[12])
        execution = _EXECUTIONS[values[15]]
        words = (retry, *values[13:15], execution, _REASONS[values[16]])
        return cls(values[0], _STATES[values[1]], *values[2:12], *words, *values[17:JOB_WIDTH])

    def rules(self) -> Job:
        """Return what the rules need to know of it."""
        policy = (self.retry, self.max_lost, self.execution)
        ending = self.reason if self.state is JobState.CANCELLING else None
        return Job(self.state, self.failures, self.lost, *policy, ending)

    def draw(self) -> float:
        """Return the jitter of its next retry: a number from [0, 1) that looks drawn.

        Ids hold 80 random bits, so their checksums spread a crowd of jobs as well as chance would,
        and the same operation on the same rows still gives the same answer.
        """
        return zlib.crc32(f"{self.id}.{self.attempt}".encode()) / 2**32


def stored_policy(retry: Retry) -> str | None:
    """Return how a retry policy is kept in a job's row: nothing for the one that most have."""
    if retry.max_attempts == 1:
        return None
    backoff = retry.backoff
    pauses = (backoff.initial_s, backoff.factor, backoff.max_s)
    return to_json((retry.max_attempts, *pauses, *retry.on)).decode()


def _policy(stored: str | None) -> RetryPolicy:
    if stored is None:
        return _ONCE
    max_attempts, initial_s, factor, max_s, *on = from_json(stored)
    return RetryPolicy(max_attempts, Backoff(initial_s, factor, max_s), tuple(on))


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
    declared_stdout: int | None = None
    declared_stderr: int | None = None
    leftovers: int = 0
    raw_result: str | None = None

    def __post_init__(self) -> None:
        self.was_session = self.session_id

    @classmethod
    def of(cls, values: Sequence[Any]) -> "AttemptRecord":
        """Return the record of a tuple that begins with `ATTEMPT_COLUMNS`."""
        words = (_OUTCOMES[values[7]], _REASONS[values[8]])
        loaded = (*values[:7], *words, *values[9:ATTEMPT_WIDTH])
        return cls(*loaded)


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

    def may_run(self, session_id: str) -> bool:
        """Tell whether the start is recorded, and nobody wants the end of what that session has."""
        return self.job.state is JobState.RUNNING and self.is_entitled(session_id)

    def believed(self, at_us: int, *, now_us: int) -> int:
        """Return a worker's moment as far as the server can believe it.

        Its clock may be wrong by hours; that something happened before it was claimed, or after
        it was heard of, is impossible.
        """
        earliest = max(self.attempt.claimed_us, self.attempt.started_us or 0)
        return min(max(at_us, earliest), max(now_us, earliest))
