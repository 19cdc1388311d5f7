"""A job and an attempt in an operation's hands."""

import pytest

from orchestrator.core.retry import RetryPolicy
from orchestrator.kernel.backoff import Backoff
from orchestrator.protocol.jobs import Retry, RetryBackoff
from orchestrator.protocol.words import Execution, JobState, Outcome, Reason
from orchestrator.server.operations.records import (
    ATTEMPT_COLUMNS,
    ATTEMPT_WIDTH,
    JOB_COLUMNS,
    JOB_WIDTH,
    AttemptRecord,
    Held,
    JobRecord,
    stored_policy,
)

BACKOFF = RetryBackoff(initial_s=2.0, factor=3.0, max_s=60.0)
RETRY = stored_policy(Retry(max_attempts=4, on=("exit:75", "timeout"), backoff=BACKOFF))
POLICY = (1, 1, 3, RETRY, 8, 100, "at_most_once")
PLACE = (21, "nightly", None)
JOB = ("job_1", "running", 2, "s1", "w1", 9, 5, 7, None, *POLICY, None, 1, 50, 60, *PLACE)
ATTEMPT = (2, "s1", "w1", 6, 100, 110, 4711, None, None, None, None)


def test_columns_and_records_agree() -> None:
    """As many columns are selected as records take."""
    assert JOB_COLUMNS.count("job.") == JOB_WIDTH == len(JOB)
    assert ATTEMPT_COLUMNS.count("attempt.") == ATTEMPT_WIDTH == len(ATTEMPT)


def test_a_job_is_what_its_row_says() -> None:
    """Each value is in its place, and the rules get what they ask for."""
    job = JobRecord.of(JOB)

    assert (job.id, job.state, job.attempt, job.session_id) == ("job_1", JobState.RUNNING, 2, "s1")
    assert (job.requirement_id, job.priority, job.rank, job.due_us) == (9, 5, 7, None)
    assert (job.event_seq, job.started_us) == (8, 100)
    assert (job.reason, job.line_id, job.queue) == (None, 21, "nightly")
    rules = job.rules()
    assert (rules.failures, rules.lost, rules.max_lost) == (1, 1, 3)
    assert rules.retry == RetryPolicy(4, Backoff(2.0, 3.0, 60.0), ("exit:75", "timeout"))
    assert rules.execution is Execution.AT_MOST_ONCE
    assert (job.reason, job.awaited, job.expires_us, job.deadline_us) == (None, 1, 50, 60)
    assert job.was == (JobState.RUNNING, "s1", 8)


def test_an_attempt_is_what_its_row_says() -> None:
    """Words are words of the closed lists again."""
    over = AttemptRecord.of((*ATTEMPT[:7], "failed", "exit_nonzero", 7, None))

    assert (over.outcome, over.reason, over.exit_code) == (Outcome.FAILED, Reason.EXIT_NONZERO, 7)
    assert (over.number, over.pid, over.was_session) == (2, 4711, "s1")


@pytest.mark.parametrize(
    ("change", "entitled"),
    [
        (lambda _: None, True),
        (lambda held: setattr(held.attempt, "outcome", Outcome.LOST), False),
        (lambda held: setattr(held.attempt, "session_id", "s2"), False),
        (lambda held: setattr(held.job, "session_id", None), False),
        (lambda held: setattr(held.job, "attempt", 3), False),
    ],
)
def test_only_the_session_of_the_newest_live_attempt_is_entitled(
    change: object, entitled: bool
) -> None:
    """Anything that does not fit takes the right away."""
    assert callable(change)
    held = Held(JobRecord.of(JOB), AttemptRecord.of(ATTEMPT))
    change(held)

    assert held.is_entitled("s1") == entitled
    assert not held.is_entitled("s2")


@pytest.mark.parametrize(("at", "believed"), [(0, 110), (115, 115), (10**9, 120)])
def test_a_workers_moment_is_believed_within_what_is_possible(at: int, believed: int) -> None:
    """Not before the start that is known, and not after now."""
    held = Held(JobRecord.of(JOB), AttemptRecord.of(ATTEMPT))

    assert held.believed(at, now_us=120) == believed
    # The server's own clock went back: the order of things still holds.
    assert held.believed(at, now_us=0) == 110


def test_draws_are_spread() -> None:
    """The jitter of many jobs is spread over the whole range, and each has its own each time."""
    draws = []
    for number in range(1000):
        job = JobRecord.of((f"job_{number}", *JOB[1:]))
        draws.append(job.draw())
        job.attempt += 1
        assert job.draw() != draws[-1]

    assert 0 <= min(draws) < 0.05
    assert 0.95 < max(draws) < 1
    assert 0.45 < sum(draws) / len(draws) < 0.55
