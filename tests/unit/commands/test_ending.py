"""How a job's end is told: the code a script sees, and the words a person reads."""

from datetime import UTC, datetime
from typing import Any

import pytest

from orchestrator.commands.jobs import ending
from orchestrator.core.job_lifecycle import TERMINAL
from orchestrator.protocol.views import JobView
from orchestrator.protocol.words import JobState as S
from orchestrator.protocol.words import Reason as R


def _job(state: S, **fields: Any) -> JobView:
    created = datetime(2026, 8, 21, tzinfo=UTC)
    return JobView(id="job_x", kind="command", state=state, created_at=created, **fields)


@pytest.mark.parametrize(
    ("job", "code"),
    [
        (_job(S.SUCCEEDED, exit_code=0), 0),
        (_job(S.SUCCEEDED), 0),
        (_job(S.FAILED, reason=R.EXIT_NONZERO, exit_code=7), 7),
        (_job(S.FAILED, reason=R.EXIT_NONZERO, exit_code=255), 255),
        (_job(S.FAILED, reason=R.SIGNAL, signal=11), 139),
        (_job(S.FAILED, reason=R.OOM, signal=9), 137),
        (_job(S.FAILED, reason=R.TIMEOUT_RUN, signal=15), 124),
        (_job(S.FAILED, reason=R.TIMEOUT_SILENCE, exit_code=0), 124),
        (_job(S.FAILED, reason=R.TIMEOUT_TOTAL), 124),
        (_job(S.FAILED, reason=R.SPAWN_ERROR), 1),
        (_job(S.FAILED, reason=R.POISON, exit_code=7, signal=9), 1),
        (_job(S.FAILED, reason=R.INVALID_RESULT, exit_code=0), 1),
        (_job(S.FAILED), 1),
        (_job(S.CANCELLED, reason=R.CANCELLED_BY_USER, signal=15), 130),
        (_job(S.CANCELLED, exit_code=0), 130),
        (_job(S.EXPIRED, reason=R.QUEUE_TTL), 1),
    ],
)
def test_the_code_is_the_commands_own_where_there_is_one(job: JobView, code: int) -> None:
    """The command's own code or signal; 124 and 130 as a shell knows them; 1 for all else."""
    assert ending.exit_code(job) == code


@pytest.mark.parametrize("state", sorted(TERMINAL))
@pytest.mark.parametrize("reason", [None, *R])
def test_only_success_is_zero(state: S, reason: R | None) -> None:
    """No end but success can be mistaken for it, whatever the command returned."""
    job = _job(state, reason=reason, exit_code=0)

    assert (ending.exit_code(job) == 0) == (state is S.SUCCEEDED)


def test_what_the_code_does_not_say_is_said_in_words() -> None:
    """An exit needs no words; a signal, a timeout and a failed start do."""
    quiet = [_job(S.SUCCEEDED), _job(S.FAILED, reason=R.EXIT_NONZERO, exit_code=7)]
    told = [_job(S.FAILED, reason=reason) for reason in (R.SIGNAL, R.TIMEOUT_RUN, R.SPAWN_ERROR)]

    assert all(ending.speaks_for_itself(job) for job in quiet)
    assert not any(ending.speaks_for_itself(job) for job in [*told, _job(S.CANCELLED)])


@pytest.mark.parametrize(
    ("job", "words"),
    [
        (_job(S.SUCCEEDED), "job_x succeeded"),
        (_job(S.FAILED, reason=R.EXIT_NONZERO, exit_code=7), "job_x failed: exit 7"),
        (_job(S.FAILED, reason=R.SIGNAL, signal=11), "job_x failed: signal 11"),
        (
            _job(S.FAILED, reason=R.SPAWN_ERROR, message="no program 'x'"),
            "job_x failed: spawn_error: no program 'x'",
        ),
        (_job(S.FAILED, reason=R.TIMEOUT_RUN), "job_x failed: timeout_run"),
    ],
)
def test_the_words_name_the_job_and_why(job: JobView, words: str) -> None:
    """State, reason and the worker's own message, in one sentence."""
    assert ending.words(job) == words


def test_a_waiting_job_says_why_it_waits() -> None:
    """The pending reason stands beside the state."""
    job = JobView.model_validate(
        {**_job(S.QUEUED).model_dump(), "pending_reason": "no_worker_online"}
    )

    assert ending.short(job) == "queued (no_worker_online)"


def test_a_reason_that_is_the_state_is_said_once() -> None:
    """Who holds a job has said all that there is to say."""
    held = JobView.model_validate({**_job(S.HELD).model_dump(), "pending_reason": "held"})

    assert ending.short(held) == "held"
