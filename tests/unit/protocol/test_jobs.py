"""What a person may ask for, and the clear answer to what they may not."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from orchestrator.protocol import limits
from orchestrator.protocol.jobs import CommandParams, DelayParams, Input, JobSpec

COMMAND = {"kind": "command", "params": {"argv": ["true"]}}


def _spec(**changes: Any) -> JobSpec:
    return JobSpec.model_validate_json(json.dumps({**COMMAND, **changes}))


def test_a_spec_has_a_default_for_all_but_its_kind() -> None:
    """The smallest job names its kind; everything else has a stated default."""
    spec = JobSpec.model_validate_json('{"kind": "delay"}')

    assert spec.timeout_s == limits.TIMEOUT_DEFAULT_S
    assert spec.retry.max_attempts == 1
    assert spec.inputs == []


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"comand": []}, "Extra inputs are not permitted"),
        ({"priority": "high"}, "valid integer"),
        ({"priority": 1.0}, "valid integer"),
        ({"priority": True}, "valid integer"),
        ({"priority": 101}, "less than or equal to 100"),
        ({"timeout_s": 0}, "greater than 0"),
        ({"timeout_s": "10"}, "valid number"),
        ({"name": ""}, "at least 1 character"),
        ({"name": "x" * 201}, "at most 200 characters"),
        ({"name": "a\nERROR fake"}, "control characters"),
        ({"name": "nul\0"}, "control characters"),
        ({"run_at": "2026-01-31T09:00:00"}, "give a time zone"),
        ({"run_at": "0001-01-01T00:00:00+14:00"}, "between 1971 and 9998"),
        ({"run_at": "9999-12-31T23:59:59-12:00"}, "between 1971 and 9998"),
        ({"env": {"A=B": "1"}}, "cannot be the name of a variable"),
        ({"env": {"": "1"}}, "cannot be the name of a variable"),
        ({"env": {"A": "b\0c"}}, "must not contain NUL"),
        ({"env": {"ORCHESTRATOR_JOB_ID": "1"}}, "is reserved"),
        ({"env": {f"V{n}": "" for n in range(257)}}, "at most 256 are allowed"),
        ({"requires": {"tags": ["two words"]}}, "at character 5: expected && or"),
        ({"requires": {"tags": "gpu & arm"}}, "did you mean &&"),
        ({"requires": {"tags": "x" * 1001}}, "at most 1000 characters"),
        ({"requires": {"tags": 3}}, "valid array"),
        ({"requires": {"platform": "darwin"}}, "linux"),
        ({"unique": {}}, "give either a key, or by: params"),
        ({"unique": {"key": "a", "by": "params"}}, "give either a key, or by: params"),
        ({"unique": {"key": "a", "scope": ["done"]}}, "'scheduled', 'blocked', 'held'"),
        ({"unique": {"key": "a", "window_s": 0}}, "greater than 0"),
        ({"unique": {"key": "a", "on_conflict": "reject"}}, "'return', 'refuse' or 'replace'"),
        ({"inputs": [{"file": "abc", "unpack": "zip"}]}, "pattern"),
        ({"inputs": [{"file": "0" * 64}]}, "say either unpack: zip, or the name"),
        ({"inputs": [{"file": "0" * 64, "name": "../x"}]}, "without folders"),
        ({"retry": {"max_attempts": 0}}, "greater than or equal to 1"),
        ({"retry": {"on": []}}, "at least 1 item"),
        ({"retry": {"on": ["exit:0"]}}, "from 1 to 255"),
        ({"retry": {"on": ["exit:1-256"]}}, "from 1 to 255"),
        ({"retry": {"on": ["exit:5-1"]}}, "the lower first"),
        ({"retry": {"on": ["exit"]}}, "there are: any, exit:75, exit:1-5, timeout"),
        ({"retry": {"on": ["worker_lost"]}}, "no failure that can be tried again"),
        ({"retry": {"backoff": {"factor": 0.5}}}, "greater than or equal to 1"),
        ({"execution": "exactly_once"}, "'at_least_once' or 'at_most_once'"),
        ({"execution": "at_most_once", "max_lost": 1}, "never started again: leave max_lost out"),
        (
            {"execution": "at_most_once", "retry": {"max_attempts": 2}},
            "never started again: leave retry out",
        ),
        ({"reattach_window_s": 59}, "greater than or equal to 60"),
    ],
)
def test_a_wrong_spec_is_refused_with_the_fault(changes: dict[str, Any], fault: str) -> None:
    """Each mistake is named; nothing is guessed or converted."""
    with pytest.raises(ValidationError, match=fault):
        _spec(**changes)


@pytest.mark.parametrize(
    ("params", "fault"),
    [
        ({}, "give either argv"),
        ({"argv": ["a"], "script": "b", "shell": True}, "give either argv"),
        ({"script": "echo"}, "say shell: true"),
        ({"argv": ["echo"], "shell": True}, "never given to a shell"),
        ({"argv": []}, "at least 1 item"),
        ({"argv": [""]}, "must not be empty"),
        ({"argv": "echo hello"}, "valid array"),
        ({"argv": ["a\0b"]}, "must not contain NUL"),
        ({"argv": ["x" * (limits.ARG_BYTES + 1)]}, "an argument is 131072 bytes long"),
        ({"script": "\u00e9" * limits.SCRIPT_BYTES, "shell": True}, "script is 131072 bytes long"),
        ({"argv": ["a"], "cwd": ""}, "at least 1 character"),
        ({"argv": ["a"], "stdin": "x" * (limits.STDIN_BYTES + 1)}, "stdin is 262145 bytes"),
    ],
)
def test_a_wrong_command_is_refused_with_the_fault(params: dict[str, Any], fault: str) -> None:
    """A command is argv, or a script that says shell: true; never a mixture."""
    with pytest.raises(ValidationError, match=fault):
        CommandParams.model_validate_json(json.dumps(params))


def test_the_longest_argument_is_accepted() -> None:
    """The limit itself is allowed, as the kernel allows it."""
    assert CommandParams(argv=["x" * limits.ARG_BYTES]).argv is not None


@pytest.mark.parametrize("params", [{}, {"ms": -1}, {"ms": 1.5}, {"ms": "1"}, {"ms": 1, "x": 2}])
def test_a_delay_is_a_whole_number_of_milliseconds(params: dict[str, Any]) -> None:
    """Anything else than a count of milliseconds is refused."""
    with pytest.raises(ValidationError):
        DelayParams.model_validate_json(json.dumps(params))


def test_an_input_is_unpacked_or_named() -> None:
    """A file goes into the workspace in one of two ways, and says which."""
    assert Input(file="0" * 64, unpack="zip").name is None
    assert Input(file="0" * 64, name="data.csv").unpack is None


@pytest.mark.parametrize(
    ("changes", "allowed"),
    [({}, 3), ({"max_lost": 5}, 5), ({"max_lost": 0}, 0), ({"execution": "at_most_once"}, 0)],
)
def test_a_job_that_may_be_started_only_once_allows_no_loss(
    changes: dict[str, Any], allowed: int
) -> None:
    """Three losses unless it says otherwise; none where a second start is not allowed."""
    assert _spec(**changes).losses_allowed == allowed
