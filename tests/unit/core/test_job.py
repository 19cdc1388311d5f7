"""What becomes of a job when something happens to it."""

from dataclasses import replace

import pytest

from orchestrator.core.job import (
    CancelAsked,
    Claimed,
    DependenciesMet,
    DependencyFailed,
    DueMoved,
    Ended,
    FellDue,
    Happening,
    HoldAsked,
    Job,
    Lost,
    NeverStarted,
    ReleaseAsked,
    Released,
    Restored,
    Started,
    TimeRanOut,
    decide,
)
from orchestrator.core.job_lifecycle import PENDING, TERMINAL
from orchestrator.core.retry import RetryPolicy
from orchestrator.kernel.backoff import Backoff
from orchestrator.kernel.errors import IllegalTransition
from orchestrator.protocol.words import Execution, JobState, Outcome, PendingReason, Reason

NOW = 1_700_000_000_000_000
RUNNING = Job(state=JobState.RUNNING)
TWICE = RetryPolicy(max_attempts=2, backoff=Backoff(initial_s=10.0, factor=2.0, max_s=60.0))
ONCE = Job(state=JobState.RUNNING, max_lost=0, execution=Execution.AT_MOST_ONCE)
FAILED = Ended(Outcome.FAILED, Reason.EXIT_NONZERO)
BLOCKED = Job(JobState.BLOCKED)
LATE = Job(JobState.CANCELLING, ending=Reason.TIMEOUT_TOTAL)

ENDS: list[tuple[Job, Happening, JobState, Reason | None]] = [
    (RUNNING, Ended(Outcome.SUCCEEDED), JobState.SUCCEEDED, None),
    (RUNNING, FAILED, JobState.FAILED, Reason.EXIT_NONZERO),
    (RUNNING, Ended(Outcome.TIMED_OUT, Reason.TIMEOUT_RUN), JobState.FAILED, Reason.TIMEOUT_RUN),
    (RUNNING, Ended(Outcome.PREEMPTED), JobState.QUEUED, None),
    (RUNNING, Ended(Outcome.CANCELLED), JobState.CANCELLED, Reason.CANCELLED_BY_POLICY),
    (RUNNING, Ended(Outcome.INDETERMINATE), JobState.SCHEDULED, None),
    (RUNNING, Lost(), JobState.SCHEDULED, None),
    (replace(RUNNING, lost=3), Lost(), JobState.FAILED, Reason.POISON),
    (replace(RUNNING, max_lost=0), Lost(), JobState.FAILED, Reason.WORKER_LOST),
    (replace(RUNNING, retry=TWICE), FAILED, JobState.SCHEDULED, None),
    (replace(RUNNING, retry=TWICE, failures=1), FAILED, JobState.FAILED, Reason.EXIT_NONZERO),
    (
        replace(RUNNING, execution=Execution.AT_MOST_ONCE),
        Lost(),
        JobState.FAILED,
        Reason.OUTCOME_UNKNOWN,
    ),
    (
        replace(RUNNING, execution=Execution.AT_MOST_ONCE, retry=TWICE),
        FAILED,
        JobState.FAILED,
        Reason.EXIT_NONZERO,
    ),
    (
        replace(RUNNING, execution=Execution.AT_MOST_ONCE),
        Ended(Outcome.PREEMPTED),
        JobState.FAILED,
        Reason.INTERRUPTED,
    ),
    (ONCE, FAILED, JobState.FAILED, Reason.EXIT_NONZERO),
    (replace(ONCE, retry=TWICE), FAILED, JobState.FAILED, Reason.EXIT_NONZERO),
    (ONCE, Ended(Outcome.INDETERMINATE), JobState.FAILED, Reason.OUTCOME_UNKNOWN),
    (ONCE, Ended(Outcome.SUCCEEDED), JobState.SUCCEEDED, None),
    (replace(ONCE, state=JobState.LEASED), Lost(), JobState.FAILED, Reason.OUTCOME_UNKNOWN),
    (replace(ONCE, state=JobState.LEASED), Released(), JobState.QUEUED, None),
    (
        replace(ONCE, state=JobState.LEASED),
        Ended(Outcome.PREEMPTED),
        JobState.FAILED,
        Reason.INTERRUPTED,
    ),
    (Job(JobState.LEASED), FAILED, JobState.FAILED, Reason.EXIT_NONZERO),
    (Job(JobState.LEASED), Ended(Outcome.SUCCEEDED), JobState.SUCCEEDED, None),
    (Job(JobState.LEASED), Ended(Outcome.PREEMPTED), JobState.QUEUED, None),
    (Job(JobState.LEASED), Ended(Outcome.RELEASED), JobState.QUEUED, None),
    (Job(JobState.LEASED), Released(), JobState.QUEUED, None),
    (Job(JobState.LEASED), Lost(), JobState.SCHEDULED, None),
    (Job(JobState.LEASED), Started(), JobState.RUNNING, None),
    (Job(JobState.QUEUED), Claimed(), JobState.LEASED, None),
    (Job(JobState.SCHEDULED), FellDue(), JobState.QUEUED, None),
    (Job(JobState.QUEUED), CancelAsked(), JobState.CANCELLED, Reason.CANCELLED_BY_USER),
    (Job(JobState.SCHEDULED), CancelAsked(), JobState.CANCELLED, Reason.CANCELLED_BY_USER),
    (Job(JobState.LEASED), CancelAsked(), JobState.CANCELLING, None),
    (RUNNING, CancelAsked(force=True), JobState.CANCELLED, Reason.CANCELLED_BY_USER),
    (Job(JobState.LEASED), CancelAsked(force=True), JobState.CANCELLED, Reason.CANCELLED_BY_USER),
    (
        Job(JobState.CANCELLING),
        CancelAsked(force=True),
        JobState.CANCELLED,
        Reason.CANCELLED_BY_USER,
    ),
    (Job(JobState.QUEUED), HoldAsked(), JobState.HELD, None),
    (Job(JobState.SCHEDULED), HoldAsked(), JobState.HELD, None),
    (Job(JobState.HELD), ReleaseAsked(), JobState.QUEUED, None),
    (Job(JobState.HELD), ReleaseAsked(due_us=NOW), JobState.QUEUED, None),
    (Job(JobState.HELD), ReleaseAsked(due_us=NOW + 1), JobState.SCHEDULED, None),
    (Job(JobState.HELD), CancelAsked(), JobState.CANCELLED, Reason.CANCELLED_BY_USER),
    (Job(JobState.HELD), HoldAsked(), JobState.HELD, None),
    (RUNNING, ReleaseAsked(), JobState.RUNNING, None),
    (Job(JobState.QUEUED), DueMoved(NOW + 1), JobState.SCHEDULED, None),
    (Job(JobState.QUEUED), DueMoved(NOW), JobState.QUEUED, None),
    (Job(JobState.SCHEDULED), DueMoved(NOW + 1), JobState.SCHEDULED, None),
    (Job(JobState.SCHEDULED), DueMoved(), JobState.QUEUED, None),
    (Job(JobState.HELD), DueMoved(NOW + 1), JobState.HELD, None),
    (BLOCKED, DueMoved(NOW + 1), JobState.BLOCKED, None),
    (RUNNING, CancelAsked(), JobState.CANCELLING, None),
    (RUNNING, CancelAsked(by_policy=True), JobState.CANCELLING, Reason.CANCELLED_BY_POLICY),
    (BLOCKED, CancelAsked(by_policy=True), JobState.CANCELLED, Reason.CANCELLED_BY_POLICY),
    (BLOCKED, HoldAsked(), JobState.HELD, None),
    (BLOCKED, DependenciesMet(), JobState.QUEUED, None),
    (BLOCKED, DependenciesMet(due_us=NOW), JobState.QUEUED, None),
    (BLOCKED, DependenciesMet(due_us=NOW + 1), JobState.SCHEDULED, None),
    (BLOCKED, DependencyFailed(), JobState.FAILED, Reason.DEPENDENCY_FAILED),
    (BLOCKED, DependencyFailed(hold=True), JobState.HELD, None),
    (Job(JobState.HELD), ReleaseAsked(due_us=NOW + 1, blocked=True), JobState.BLOCKED, None),
    (
        Job(JobState.HELD),
        ReleaseAsked(blocked=True, failed=True),
        JobState.FAILED,
        Reason.DEPENDENCY_FAILED,
    ),
    *((Job(s), NeverStarted(), JobState.EXPIRED, Reason.QUEUE_TTL) for s in sorted(PENDING)),
    *((Job(s), TimeRanOut(), JobState.FAILED, Reason.TIMEOUT_TOTAL) for s in sorted(PENDING)),
    (Job(JobState.WAITING), TimeRanOut(), JobState.FAILED, Reason.TIMEOUT_TOTAL),
    (Job(JobState.LEASED), TimeRanOut(), JobState.CANCELLING, Reason.TIMEOUT_TOTAL),
    (RUNNING, TimeRanOut(), JobState.CANCELLING, Reason.TIMEOUT_TOTAL),
    (LATE, Started(), JobState.CANCELLING, Reason.TIMEOUT_TOTAL),
    (LATE, CancelAsked(), JobState.CANCELLING, Reason.TIMEOUT_TOTAL),
    (LATE, CancelAsked(force=True), JobState.CANCELLED, Reason.CANCELLED_BY_USER),
    (Job(JobState.CANCELLING), TimeRanOut(), JobState.CANCELLING, None),
    *(
        (LATE, happened, JobState.FAILED, Reason.TIMEOUT_TOTAL)
        for happened in (Ended(Outcome.SUCCEEDED), FAILED, Lost(), Released(), Restored())
    ),
]
CANCELLING = Job(JobState.CANCELLING)


@pytest.mark.parametrize(("job", "happened", "state", "reason"), ENDS)
def test_each_happening_leads_where_it_should(
    job: Job, happened: Happening, state: JobState, reason: Reason | None
) -> None:
    """A job goes where the rules say, with the reason that people will read."""
    change = decide(job, happened, now_us=NOW)

    assert (change.state, change.reason) == (state, reason)
    assert change.finished == (state in TERMINAL)


@pytest.mark.parametrize(
    "happened",
    [Ended(Outcome.SUCCEEDED), FAILED, Ended(Outcome.PREEMPTED), Lost(), Released()],
)
def test_a_job_that_is_cancelling_ends_cancelled_however_its_attempt_ended(
    happened: Happening,
) -> None:
    """The cancel was committed first, so it wins over any later outcome."""
    change = decide(CANCELLING, happened, now_us=NOW)

    assert (change.state, change.reason) == (JobState.CANCELLED, Reason.CANCELLED_BY_USER)


@pytest.mark.parametrize("job", [Job(JobState.QUEUED), Job(JobState.SCHEDULED)])
def test_another_moment_says_why_it_is_waited_for(job: Job) -> None:
    """A job that was never tried waits for its moment, one that is tried again for its pause."""
    change = decide(job, DueMoved(NOW + 1), now_us=NOW)
    again = decide(replace(job, lost=1), DueMoved(NOW + 1), now_us=NOW)

    assert (change.due_us, change.pending_reason) == (NOW + 1, PendingReason.NOT_BEFORE)
    assert (again.due_us, again.pending_reason) == (NOW + 1, PendingReason.BACKOFF)


@pytest.mark.parametrize("job", [RUNNING, Job(JobState.WAITING), Job(JobState.FAILED)])
def test_what_waits_for_no_moment_gets_none(job: Job) -> None:
    """What runs, asks, or is over has no moment that could be moved."""
    with pytest.raises(IllegalTransition, match="waits for no moment"):
        decide(job, DueMoved(NOW + 1), now_us=NOW)


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_a_finished_job_refuses_every_report(state: JobState) -> None:
    """Nothing that a worker says changes a finished job."""
    reported = (Claimed(), Started(), Released(), FAILED, Lost(), FellDue())
    for happened in (*reported, NeverStarted(), DependenciesMet(), DependencyFailed()):
        with pytest.raises(IllegalTransition):
            decide(Job(state), happened, now_us=NOW)


@pytest.mark.parametrize("state", [*sorted(TERMINAL), JobState.CANCELLING])
def test_cancelling_twice_or_too_late_changes_nothing(state: JobState) -> None:
    """A cancel of a job that is over, or already cancelling, is a quiet no-op."""
    change = decide(Job(state), CancelAsked(), now_us=NOW)

    assert (change.path, change.state) == ((), state)


def test_a_late_start_does_not_undo_a_cancel() -> None:
    """A start that is reported after the cancel leaves the job cancelling."""
    assert decide(CANCELLING, Started(), now_us=NOW).state is JobState.CANCELLING


def test_a_retry_waits_for_its_backoff() -> None:
    """A failed attempt is tried again after a jittered pause below its exponential ceiling."""
    job = replace(RUNNING, retry=TWICE)

    change = decide(job, FAILED, now_us=NOW, draw=0.5)

    assert change.pending_reason is PendingReason.BACKOFF
    assert change.due_us == NOW + 5_000_000
    assert (change.failures, change.lost) == (1, 0)


def test_a_lost_attempt_does_not_use_up_the_tries_of_a_flaky_job() -> None:
    """Losing a worker counts apart from the job's own failures."""
    change = decide(replace(RUNNING, retry=TWICE), Lost(), now_us=NOW)

    assert (change.failures, change.lost) == (0, 1)


def test_preempted_and_released_attempts_count_in_nothing() -> None:
    """What was not the job's doing costs it neither a try nor a loss."""
    for job, happened in ((RUNNING, Ended(Outcome.PREEMPTED)), (Job(JobState.LEASED), Released())):
        change = decide(job, happened, now_us=NOW)

        assert (change.failures, change.lost) == (0, 0)


@pytest.mark.parametrize("state", [JobState.LEASED, JobState.RUNNING, *sorted(TERMINAL)])
def test_what_has_begun_is_not_put_on_hold(state: JobState) -> None:
    """A hold is for what waits; what runs or is over is refused by name."""
    with pytest.raises(IllegalTransition, match=f"{state} cannot have put_on_hold"):
        decide(Job(state), HoldAsked(), now_us=NOW)


@pytest.mark.parametrize(
    ("job", "pending"),
    [
        (Job(JobState.HELD), PendingReason.NOT_BEFORE),
        (Job(JobState.HELD, failures=1), PendingReason.BACKOFF),
        (Job(JobState.HELD, lost=1), PendingReason.BACKOFF),
    ],
)
def test_a_job_that_is_let_go_early_waits_for_its_moment(job: Job, pending: PendingReason) -> None:
    """Its own time, or the pause before a retry, is still to come."""
    change = decide(job, ReleaseAsked(due_us=NOW + 5), now_us=NOW)

    assert (change.state, change.due_us) == (JobState.SCHEDULED, NOW + 5)
    assert change.pending_reason is pending
