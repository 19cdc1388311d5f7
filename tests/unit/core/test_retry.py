"""Which failures are tried again, how often, and after which pauses."""

import pytest

from orchestrator.core.job import Ended, Job, decide
from orchestrator.core.retry import Failure, RetryPolicy, covers
from orchestrator.kernel.backoff import Backoff
from orchestrator.protocol.words import JobState, Outcome, Reason

EXIT = Failure(Reason.EXIT_NONZERO, 75)
TIMEOUT = Failure(Reason.TIMEOUT_RUN)
SILENCE = Failure(Reason.TIMEOUT_SILENCE, 143)
SIGNAL = Failure(Reason.SIGNAL)
SPAWN = Failure(Reason.SPAWN_ERROR)
FAILURES = (EXIT, TIMEOUT, SILENCE, SIGNAL, SPAWN)


@pytest.mark.parametrize(
    ("word", "covered"),
    [
        ("any", FAILURES),
        ("exit:75", (EXIT,)),
        ("exit:70-75", (EXIT,)),
        ("exit:75-80", (EXIT,)),
        ("exit:74", ()),
        ("exit:76-255", ()),
        ("exit:143", ()),
        ("timeout", (TIMEOUT, SILENCE)),
        ("timeout_silence", (SILENCE,)),
        ("signal", (SIGNAL,)),
        ("spawn_error", (SPAWN,)),
        ("exit:", ()),
        ("nonsense", ()),
    ],
)
def test_a_word_means_its_failures_and_no_others(word: str, covered: tuple[Failure, ...]) -> None:
    """Exit codes, signals, timeouts and the other reasons are told apart exactly."""
    assert tuple(failure for failure in FAILURES if covers(word, failure)) == covered


@pytest.mark.parametrize(
    ("on", "failures", "exit_code", "state"),
    [
        (("exit:75",), 0, 75, JobState.SCHEDULED),
        (("exit:75",), 0, 1, JobState.FAILED),
        (("timeout", "exit:1-5"), 0, 5, JobState.SCHEDULED),
        (("timeout", "exit:1-5"), 0, 6, JobState.FAILED),
        (("any",), 1, 6, JobState.SCHEDULED),
        (("any",), 2, 6, JobState.FAILED),
    ],
)
def test_a_job_is_tried_again_only_for_what_its_policy_names(
    on: tuple[str, ...], failures: int, exit_code: int, state: JobState
) -> None:
    """Another failure, or one too many, ends the job with the failure's own reason."""
    job = Job(JobState.RUNNING, failures=failures, retry=RetryPolicy(3, on=on))
    ended = Ended(Outcome.FAILED, Reason.EXIT_NONZERO, exit_code)

    change = decide(job, ended, now_us=0)

    assert change.state is state
    assert change.reason is (Reason.EXIT_NONZERO if state is JobState.FAILED else None)


@pytest.mark.parametrize(("failures", "ceiling_s"), [(0, 5), (1, 10), (2, 20), (3, 30), (9, 30)])
@pytest.mark.parametrize("draw", [0.0, 0.5, 0.999])
def test_a_pause_is_drawn_below_a_growing_ceiling(
    failures: int, ceiling_s: int, draw: float
) -> None:
    """Full jitter: anything from nothing to the ceiling, which doubles up to its end."""
    job = Job(JobState.RUNNING, failures=failures, retry=RetryPolicy(100, Backoff(5.0, 2.0, 30.0)))

    change = decide(job, Ended(Outcome.TIMED_OUT, Reason.TIMEOUT_RUN), now_us=7, draw=draw)

    assert change.due_us == 7 + round(ceiling_s * draw * 1_000_000)
