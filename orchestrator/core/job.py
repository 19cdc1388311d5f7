"""What becomes of a job when something happens to it: the one decision of the server.

`decide` is asked inside the transaction that will apply its answer.  It answers with the path
through the lifecycle's table and with what the row must then say; it does not know rows.
"""

from dataclasses import dataclass, replace
from typing import Final

from orchestrator.core.job_lifecycle import LIVE, PENDING, TERMINAL, JobEvent, next_state
from orchestrator.core.retry import LOST_BACKOFF, Failure, RetryPolicy, due_after
from orchestrator.kernel.errors import IllegalTransition
from orchestrator.protocol.words import Execution, JobState, Outcome, PendingReason, Reason

E = JobEvent
S = JobState


@dataclass(frozen=True, slots=True)
class Job:
    """What the rules need to know of a job. Counters rise and never fall."""

    state: JobState
    failures: int = 0
    lost: int = 0
    retry: RetryPolicy = RetryPolicy()
    max_lost: int = 3
    execution: Execution = Execution.AT_LEAST_ONCE
    ending: Reason | None = None
    """Why a job that is cancelling is being ended; `None` stands for a person's order."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A worker took an attempt."""


@dataclass(frozen=True, slots=True)
class Started:
    """The command of the attempt runs."""


@dataclass(frozen=True, slots=True)
class Released:
    """The attempt was given back before anything of it ran."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The attempt is over, as its worker says."""

    outcome: Outcome
    reason: Reason | None = None
    exit_code: int | None = None


@dataclass(frozen=True, slots=True)
class Lost:
    """Nobody can say how the attempt ended: its right ran out, or its worker forgot it."""


@dataclass(frozen=True, slots=True)
class FellDue:
    """The moment came that the job was waiting for."""


@dataclass(frozen=True, slots=True)
class CancelAsked:
    """Somebody wants it to end; by `force`, at once, whether or not its processes are gone.

    `by_policy` says that nobody asked for this one: a rule that somebody had made did.
    """

    force: bool = False
    by_policy: bool = False


@dataclass(frozen=True, slots=True)
class HoldAsked:
    """Somebody wants it kept back."""


@dataclass(frozen=True, slots=True)
class ReleaseAsked:
    """Somebody lets a held job go on; `due_us` is when it falls due, if that is still to come.

    `blocked` and `failed` tell of what it depends on: something is still open, or went wrong.
    """

    due_us: int | None = None
    blocked: bool = False
    failed: bool = False


@dataclass(frozen=True, slots=True)
class DependenciesMet:
    """Everything that the job depends on has come; `due_us` as of a release."""

    due_us: int | None = None


@dataclass(frozen=True, slots=True)
class DependencyFailed:
    """Something that the job depends on will never come; by `hold`, a person is to decide."""

    hold: bool = False


@dataclass(frozen=True, slots=True)
class NeverStarted:
    """The moment passed until which the job was to be started."""


@dataclass(frozen=True, slots=True)
class TimeRanOut:
    """The moment passed until which the job was to be over."""


@dataclass(frozen=True, slots=True)
class DueMoved:
    """Somebody wants it to begin at another moment; `None` is as soon as possible."""

    due_us: int | None = None


@dataclass(frozen=True, slots=True)
class Restored:
    """The database is a backup's: what became of the job since it was made, nobody knows."""


Happening = (
    Claimed
    | Started
    | Released
    | Ended
    | Lost
    | FellDue
    | CancelAsked
    | HoldAsked
    | ReleaseAsked
    | DependenciesMet
    | DependencyFailed
    | NeverStarted
    | TimeRanOut
    | DueMoved
    | Restored
)


@dataclass(frozen=True, slots=True)
class Change:
    """The path taken, and what the job's row says after it.

    `due_us` is set only for `scheduled`; `reason` only for a terminal state, for a job that is held
    because it was restored, or for one that is cancelling though no person asked for that.
    """

    path: tuple[JobEvent, ...]
    state: JobState
    failures: int
    lost: int
    reason: Reason | None = None
    pending_reason: PendingReason | None = None
    due_us: int | None = None

    @property
    def finished(self) -> bool:
        """Tell whether nothing will ever follow."""
        return self.state in TERMINAL


def decide(  # noqa: C901, PLR0912 - a case for each
    job: Job, happened: Happening, *, now_us: int, draw: float = 0.0
) -> Change:
    """Return what becomes of the job, or raise `IllegalTransition` when it cannot happen now.

    `draw` is a uniform number from [0, 1) for the jitter of a retry.
    """
    match happened:
        case Claimed():
            return _walk(job, E.CLAIMED, pending_reason=PendingReason.STARTING)
        case Started():
            return _walk(job, E.STARTED) if job.state is not S.CANCELLING else _stay(job)
        case FellDue():
            return _walk(job, E.FELL_DUE)
        case CancelAsked():
            return _cancel(job, happened)
        case HoldAsked():
            return _hold(job)
        case ReleaseAsked():
            return _let_go(job, happened, now_us=now_us)
        case DependenciesMet():
            return _unblocked(job, happened, now_us=now_us)
        case DependencyFailed():
            return _dependency_failed(job, hold=happened.hold)
        case NeverStarted():
            return _walk(job, E.EXPIRED, reason=Reason.QUEUE_TTL)
        case TimeRanOut():
            return _out_of_time(job)
        case DueMoved():
            return _due_moved(job, happened.due_us, now_us=now_us)
        case Restored():
            return _restored(job)
        case Released():
            return _released(job)
        case Lost():
            return _lost(job, now_us=now_us, draw=draw)
        case Ended():
            return _ended(job, happened, now_us=now_us, draw=draw)


def _walk(
    job: Job,
    *path: JobEvent,
    reason: Reason | None = None,
    pending_reason: PendingReason | None = None,
) -> Change:
    state = job.state
    for event in path:
        state = next_state(state, event)
    return Change(path, state, job.failures, job.lost, reason, pending_reason)


def _stay(job: Job) -> Change:
    return Change((), job.state, job.failures, job.lost, job.ending)


def _cancel(job: Job, asked: CancelAsked) -> Change:
    """A job without an attempt is cancelled at once; a live one when its processes are gone.

    Force does not wait for that: being at its end is the fence, whatever still runs.
    """
    reason = Reason.CANCELLED_BY_POLICY if asked.by_policy else Reason.CANCELLED_BY_USER
    if job.state in TERMINAL:
        return _stay(job)
    if job.state in PENDING:
        return _walk(job, E.CANCELLED, reason=reason)
    ordered = () if job.state is S.CANCELLING else (E.CANCEL_ORDERED,)
    if asked.force:
        return _walk(job, *ordered, E.CANCEL_FORCED, reason=reason)
    if not ordered:
        return _stay(job)
    return _walk(job, *ordered, reason=reason if asked.by_policy else None)


def _brought_to_its_end(job: Job, event: JobEvent) -> Change:
    """What was being ended is over, for the reason for which that was begun."""
    if job.ending is Reason.TIMEOUT_TOTAL:
        return _walk(job, E.TIME_RAN_OUT, reason=job.ending)
    return _walk(job, event, reason=job.ending or Reason.CANCELLED_BY_USER)


def _out_of_time(job: Job) -> Change:
    """What runs is ended first; whatever is being ended, or is over, stays what it is."""
    if job.state in TERMINAL or job.state is S.CANCELLING:
        return _stay(job)
    event = E.CANCEL_ORDERED if job.state in LIVE else E.TIME_RAN_OUT
    return _walk(job, event, reason=Reason.TIMEOUT_TOTAL)


def _hold(job: Job) -> Change:
    """Only what has not begun can be kept back; twice is once."""
    if job.state is S.HELD:
        return _stay(job)
    return _walk(job, E.PUT_ON_HOLD, pending_reason=PendingReason.HELD)


def _let_go(job: Job, asked: ReleaseAsked, *, now_us: int) -> Change:
    """A job that is let go waits for what it waited for before, if that has not come meanwhile."""
    if job.state is not S.HELD:
        return _stay(job)
    if asked.failed:
        path = (E.UNHELD_BLOCKED, E.DEPENDENCY_FAILED)
        return _walk(job, *path, reason=Reason.DEPENDENCY_FAILED)
    if asked.blocked:
        return _walk(job, E.UNHELD_BLOCKED, pending_reason=PendingReason.DEPENDENCIES)
    return _freed(job, E.UNHELD_DUE, E.UNHELD_EARLY, due_us=asked.due_us, now_us=now_us)


def _unblocked(job: Job, met: DependenciesMet, *, now_us: int) -> Change:
    events = (E.DEPENDENCIES_MET, E.DEPENDENCIES_MET_EARLY)
    return _freed(job, *events, due_us=met.due_us, now_us=now_us)


def _freed(job: Job, due: JobEvent, early: JobEvent, *, due_us: int | None, now_us: int) -> Change:
    """Return a job to the queue, or to wait for its moment if that is still to come."""
    if due_us is None or due_us <= now_us:
        return _walk(job, due)
    return replace(_walk(job, early, pending_reason=_not_yet(job)), due_us=due_us)


def _dependency_failed(job: Job, *, hold: bool) -> Change:
    if hold:
        return _walk(job, E.PUT_ON_HOLD, pending_reason=PendingReason.HELD)
    return _walk(job, E.DEPENDENCY_FAILED, reason=Reason.DEPENDENCY_FAILED)


def _not_yet(job: Job) -> PendingReason:
    """Return why a job is not due: it is tried again, or was never to begin before."""
    begun = job.failures + job.lost > 0
    return PendingReason.BACKOFF if begun else PendingReason.NOT_BEFORE


def _due_moved(job: Job, due_us: int | None, *, now_us: int) -> Change:
    """What is held, or depends on others, waits for its moment once it is free."""
    if job.state not in PENDING:
        raise IllegalTransition(f"a job that is {job.state} waits for no moment")
    if due_us is not None and due_us > now_us and job.state in {S.SCHEDULED, S.QUEUED}:
        path = () if job.state is S.SCHEDULED else (E.PUT_ON_HOLD, E.UNHELD_EARLY)
        return replace(_walk(job, *path, pending_reason=_not_yet(job)), due_us=due_us)
    return _walk(job, E.FELL_DUE) if job.state is S.SCHEDULED else _stay(job)


def _restored(job: Job) -> Change:
    """What was not over waits for somebody to look at it; a cancel that was promised is kept.

    It is never tried again by itself: its worker may have run it after the backup was made.
    """
    if job.state is S.CANCELLING:
        return _brought_to_its_end(job, E.CANCEL_FORCED)
    return _walk(job, E.RESTORED, reason=Reason.RESTORED, pending_reason=PendingReason.HELD)


def _released(job: Job) -> Change:
    if job.state is S.CANCELLING:
        return _brought_to_its_end(job, E.CANCEL_CONFIRMED)
    return _walk(job, E.RELEASED)


def _lost(job: Job, *, now_us: int, draw: float) -> Change:
    """A lost attempt costs one of `max_lost`; `at_most_once` never gets another."""
    if job.state is S.CANCELLING:
        return _brought_to_its_end(job, E.CANCEL_FORCED)
    counted = replace(job, lost=job.lost + 1)
    if job.execution is Execution.AT_MOST_ONCE:
        return _walk(counted, E.GAVE_UP, reason=Reason.OUTCOME_UNKNOWN)
    if counted.lost > job.max_lost:
        reason = Reason.POISON if job.max_lost else Reason.WORKER_LOST
        return _walk(counted, E.GAVE_UP, reason=reason)
    due_us = due_after(LOST_BACKOFF, counted.lost, now_us=now_us, draw=draw)
    return _retried(counted, due_us=due_us)


def _retried(job: Job, *, due_us: int) -> Change:
    change = _walk(job, E.RETRY_PLANNED, pending_reason=PendingReason.BACKOFF)
    return replace(change, due_us=due_us)


_UNKNOWN: Final = frozenset({Outcome.LOST, Outcome.INDETERMINATE})


def _ended(job: Job, ended: Ended, *, now_us: int, draw: float) -> Change:
    """The first commit wins: a job that is cancelling is cancelled, however its command ended."""
    if ended.outcome in _UNKNOWN:
        return _lost(job, now_us=now_us, draw=draw)
    if job.state is S.CANCELLING:
        return _brought_to_its_end(job, E.CANCEL_CONFIRMED)
    match ended.outcome:
        case Outcome.SUCCEEDED:
            return _walk(job, *_begun(job), E.SUCCEEDED)
        case Outcome.FAILED | Outcome.TIMED_OUT:
            return _failed(job, ended, now_us=now_us, draw=draw)
        case Outcome.PREEMPTED:
            return _preempted(job)
        case Outcome.RELEASED:
            return _walk(job, E.RELEASED)
        case Outcome.CANCELLED:
            path = (E.CANCEL_ORDERED, E.CANCEL_CONFIRMED)
            return _walk(job, *path, reason=Reason.CANCELLED_BY_POLICY)
        case _:
            message = f"a job that is {job.state} cannot have an attempt that ends {ended.outcome}"
            raise IllegalTransition(message)


def _begun(job: Job) -> tuple[JobEvent, ...]:
    """An end implies the start whose report it overtook."""
    return (E.STARTED,) if job.state is S.LEASED else ()


def _failed(job: Job, ended: Ended, *, now_us: int, draw: float) -> Change:
    counted = replace(job, failures=job.failures + 1)
    failure = Failure(ended.reason, ended.exit_code)
    once = job.execution is Execution.AT_MOST_ONCE
    if once or not job.retry.allows(counted.failures, failure):
        return _walk(counted, E.GAVE_UP, reason=ended.reason)
    due_us = due_after(job.retry.backoff, counted.failures, now_us=now_us, draw=draw)
    return _retried(counted, due_us=due_us)


def _preempted(job: Job) -> Change:
    """An interrupted attempt goes back to the queue and counts in nothing."""
    if job.execution is Execution.AT_MOST_ONCE:
        return _walk(job, E.GAVE_UP, reason=Reason.INTERRUPTED)
    if job.state is S.LEASED:
        return _walk(job, E.RELEASED)
    return _walk(job, E.PREEMPTED)
