"""What was asked of a job, in words."""

from typing import Any

import pytest

from orchestrator.commands.jobs import asked
from orchestrator.protocol.jobs import JobSpec

FIRST, SECOND, THIRD = (f"job_{digit * 26}" for digit in "123")
SAID: dict[str, tuple[Any, list[tuple[str, str]]]] = {
    "fairness_key": ("acme", [("fairness key", "acme")]),
    "queue_ttl_s": (600, [("start within", "10m")]),
    "deadline_s": (7200, [("deadline", "2h")]),
    "requires": (
        {"tags": ["gpu", "a && !b"], "platform": "linux", "worker": "oak"},
        [("tags", "gpu, a && !b"), ("platform", "linux"), ("only on", "oak")],
    ),
    "timeout_s": (90, [("timeout", "1m30s")]),
    "silence_s": (60, [("silence", "1m")]),
    "grace_s": (30, [("grace", "30s")]),
    "retry": (
        {"max_attempts": 3, "on": ["exit:75", "timeout"], "backoff": {"max_s": 600}},
        [("retry", "3 tries; of exit:75, timeout; pauses 2.0s, 2, 10m")],
    ),
    "execution": ("at_most_once", [("execution", "at_most_once")]),
    "max_lost": (1, [("max lost", "1")]),
    "concurrency": (
        [{"key": "database", "limit": 4}, {"key": "deploy", "strategy": "refuse"}],
        [("keys", "database=4, deploy=1 (refuse)")],
    ),
    "rate_limit": ([{"key": "mail", "count": 100, "per_s": 3600}], [("rates", "mail=100/1h")]),
    "reattach_window_s": (120, [("reattach window", "2m")]),
    "unique": (
        {"key": "nightly", "scope": ["queued"], "window_s": 60, "on_conflict": "refuse"},
        [("unique", "nightly; among queued; for 1m; else refuse")],
    ),
    "inputs": (
        [{"file": "ab" * 32, "unpack": "zip"}, {"file": "cd" * 32, "name": "data.csv"}],
        [("inputs", "zip (abababababab…), data.csv (cdcdcdcdcdcd…)")],
    ),
    "env": ({"MODE": "fast", "TOKEN": "hush"}, [("env", "MODE, TOKEN")]),
    "depends_on": (
        [
            {"job": FIRST},
            {"job": SECOND, "on": "finish"},
            {"job": THIRD, "on_failure": "hold"},
        ],
        [("depends on", f"{FIRST}, {SECOND} (its end), {THIRD} (if it fails: hold)")],
    ),
}


def spec(**fields: Any) -> dict[str, Any]:
    """Return a spec as the server answers it: whole, with what nobody said."""
    return JobSpec(kind="command").model_dump(mode="json") | {
        name: JobSpec.model_validate({"kind": "command", name: value}, strict=False).model_dump(
            mode="json"
        )[name]
        for name, value in fields.items()
    }


@pytest.mark.parametrize("field", sorted(set(JobSpec.model_fields) - asked.ELSEWHERE))
def test_whatever_was_said_is_told_and_nothing_else(field: str) -> None:
    """Each field that a job can have, one at a time: a new one needs words as well."""
    value, told = SAID[field]

    assert asked.facts(spec(**{field: value})) == told


def test_a_job_that_says_nothing_has_nothing_to_tell() -> None:
    """What every job has stands in no list of what was asked for."""
    assert asked.facts(spec()) == []
    assert asked.facts({}) == []


def test_what_is_unique_by_what_it_does_says_so() -> None:
    """Without a key of its own there is none to show."""
    assert asked.facts(spec(unique={"by": "params"})) == [("unique", "by params")]


def test_what_another_version_says_is_told_as_it_came() -> None:
    """A newer server's words are better than silence."""
    assert asked.facts(spec() | {"colour": {"red": 1}}) == [("colour", '{"red": 1}')]
