"""Jobs as rows, and times as people read them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orchestrator.commands.jobs import tables
from orchestrator.commands.moments import ago, duration, moment, rough
from orchestrator.protocol.views import JobDetail, JobView
from orchestrator.protocol.words import JobState

CREATED = datetime(2026, 8, 21, 9, 14, 3, 118_000, tzinfo=UTC)


def _job(**fields: Any) -> dict[str, Any]:
    return {
        "id": "job_x",
        "summary": "make all",
        "kind": "command",
        "state": "failed",
        "reason": "exit_nonzero",
        "exit_code": 7,
        "attempt": 2,
        "created_at": CREATED.isoformat(),
        "started_at": (CREATED + timedelta(seconds=1)).isoformat(),
        "finished_at": (CREATED + timedelta(seconds=76)).isoformat(),
        **fields,
    }


def test_a_row_says_what_became_of_a_job() -> None:
    """State with its reason, the try, the age and how long it took."""
    later = CREATED + timedelta(hours=2)

    [row] = tables.job_rows([JobView.model_validate(_job())], now=later.timestamp())

    assert dict(zip(tables.JOB_HEADERS, row, strict=True)) == {
        "ID": "job_x",
        "STATE": "failed (exit 7)",
        "KIND": "command",
        "NAME": "",
        "TRY": "2",
        "WORKER": "",
        "AGE": "2h",
        "TOOK": "1m15s",
        "COMMAND": "make all",
    }


def test_the_facts_of_a_job_hold_what_was_asked_for() -> None:
    """A command is shown as it could be typed, other params as JSON."""
    spec = {"params": {"argv": ["echo", "a b"], "ms": 3}, "requires": {"tags": ["gpu"]}}

    facts = dict(tables.job_facts(JobDetail.model_validate(_job(spec=spec, labels={"a": "b"}))))

    assert facts["  argv"] == "echo 'a b'"
    assert facts["  ms"] == "3"
    assert (facts["tags"], facts["labels"], facts["exit code"]) == ("gpu", "a=b", "7")
    assert facts["created"] == "2026-08-21 09:14:03Z"
    assert (facts["queue"], facts["batch"], facts["schedule"], facts["expires"]) == ("",) * 4


def test_the_facts_of_a_job_hold_where_it_comes_from() -> None:
    """Its queue if it is another than the usual one, its batch, its schedule, its end."""
    more = {"queue": "night", "batch_id": "batch_x", "schedule_id": "sch_x", "spec": {}}
    later = (CREATED + timedelta(hours=1)).isoformat()

    facts = dict(tables.job_facts(JobDetail.model_validate(_job(**more, expires_at=later))))

    told = (facts["queue"], facts["batch"], facts["schedule"])
    assert told == ("night", "batch_x", "sch_x")
    assert facts["expires"] == "2026-08-21 10:14:03Z"
    assert facts["due"] == ""


def test_a_moment_that_was_asked_for_is_told_also_when_it_is_over() -> None:
    """A job that has begun cannot expire; that it could have is still what was asked for."""
    spec = {"expires_at": "2026-08-21T10:14:03Z"}
    late = (CREATED + timedelta(hours=2)).isoformat()

    facts = dict(tables.job_facts(JobDetail.model_validate(_job(spec=spec, deadline_at=late))))

    assert facts["expires"] == "2026-08-21 10:14:03Z"
    assert facts["too late at"] == "2026-08-21 11:14:03Z"


def test_how_far_a_job_is_stands_in_its_line() -> None:
    """Its percentage beside its state; all that it says where one job is shown."""
    told = {"percent": 41.6, "message": "linking", "counters": {"files": 7}, "at": CREATED}
    job = JobDetail.model_validate(
        _job(spec={}, state="running", reason=None, exit_code=None, progress=told)
    )

    [row] = tables.job_rows([job], now=CREATED.timestamp())

    assert row[1].endswith("running 42 %")
    assert dict(tables.job_facts(job))["progress"] == "42 % – linking – files 7"


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({}, "starting"),
        ({"started_at": CREATED}, "running"),
        ({"outcome": "failed", "reason": "exit_nonzero", "exit_code": 7}, "failed (exit 7)"),
        ({"outcome": "failed", "reason": "signal", "signal": 9}, "failed (signal 9)"),
        ({"outcome": "lost", "reason": "worker_lost"}, "lost (worker_lost)"),
        ({"outcome": "succeeded", "exit_code": 0}, "succeeded"),
    ],
)
def test_an_attempt_is_told_with_its_own_end(fields: dict[str, Any], outcome: str) -> None:
    """Each attempt keeps why it ended."""
    attempt = {"number": 1, "claimed_at": CREATED, "output_missing_bytes": 3, **fields}
    job = JobDetail.model_validate(_job(spec={}, attempts=[attempt]))

    [row] = tables.attempt_rows(job.attempts)

    assert row[2] == outcome
    assert row[-1] == "output incomplete (3 bytes missing)"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.04, "0.0s"),
        (9.94, "9.9s"),
        (59, "59s"),
        (60, "1m"),
        (61, "1m1s"),
        (3600, "1h"),
        (3661, "1h1m"),
        (90_000, "1d1h"),
    ],
)
def test_a_duration_is_told_in_its_two_largest_units(seconds: float, words: str) -> None:
    """Short ones keep a decimal, long ones lose their seconds."""
    assert rough(seconds) == words


def test_what_has_not_happened_has_no_time() -> None:
    """An unknown time is an empty cell; a clock that is behind makes no negative age."""
    assert (moment(None), ago(None, now=CREATED), duration(CREATED, None)) == ("", "", "")
    assert ago(CREATED + timedelta(seconds=5), now=CREATED) == "0.0s"


def test_no_state_is_told_by_colour_alone() -> None:
    """A colour only repeats what the cell says, and a state without one is fine."""
    assert tables.style(JobState.FAILED)
    assert tables.style(JobState.QUEUED) == ""
