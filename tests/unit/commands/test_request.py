"""From options to a job's spec, and refusals in the words of the command line."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from orchestrator.commands.jobs.request import Asked, option_of, spec_of
from orchestrator.kernel.errors import RequestInvalid


def _sent(**asked: Any) -> dict[str, Any]:
    sent: dict[str, Any] = json.loads(spec_of(Asked(**asked)).model_dump_json(exclude_unset=True))
    return sent


def test_a_command_is_its_words() -> None:
    """Nothing is sent but what was typed, so the server's own defaults hold."""
    assert _sent(command=("sh", "-c", "exit 7")) == {
        "kind": "command",
        "params": {"argv": ["sh", "-c", "exit 7"]},
    }


def test_every_option_has_its_field() -> None:
    """All that can be typed arrives under the API's names."""
    sent = _sent(
        shell="make | tee log",
        cwd="sub",
        stdin=b"in",
        name="n",
        env={"A": "1"},
        tags=("gpu",),
        labels={"team": "web"},
        priority=5,
        timeout_s=60.0,
        silence_s=5.0,
        grace_s=1.0,
        retries=2,
        retry_on=["exit:75", "timeout"],
        backoff=(5.0, 2.0, 600.0),
        max_lost=1,
        after=["job_" + "a" * 26],
        after_end=["job_" + "b" * 26],
        if_it_fails="hold",
        queue_ttl_s=60.0,
        deadline_s=90.0,
    )

    assert sent == {
        "kind": "command",
        "params": {"script": "make | tee log", "shell": True, "cwd": "sub", "stdin": "in"},
        "name": "n",
        "env": {"A": "1"},
        "requires": {"tags": ["gpu"]},
        "labels": {"team": "web"},
        "priority": 5,
        "timeout_s": 60.0,
        "silence_s": 5.0,
        "grace_s": 1.0,
        "retry": {
            "max_attempts": 3,
            "on": ["exit:75", "timeout"],
            "backoff": {"initial_s": 5.0, "factor": 2.0, "max_s": 600.0},
        },
        "max_lost": 1,
        "depends_on": [
            {"job": "job_" + "a" * 26, "on_failure": "hold"},
            {"job": "job_" + "b" * 26, "on": "finish"},
        ],
        "queue_ttl_s": 60.0,
        "deadline_s": 90.0,
    }


def test_an_expression_is_one_more_thing_that_tags_must_meet() -> None:
    """Tags and the expression are required together; a mistake shows its place."""
    sent = _sent(command=("true",), tags=("gpu", "cuda=12"), requires="linux || macos")

    assert sent["requires"] == {"tags": ["gpu", "cuda=12", "linux || macos"]}
    with pytest.raises(RequestInvalid, match=r"--requires: .*at character 3: .*did you mean &&"):
        spec_of(Asked(command=("true",), requires="a & b"))


def test_a_job_that_may_be_started_only_once_says_so() -> None:
    """The option becomes the API's word, with the patience that was asked for."""
    sent = _sent(command=("true",), at_most_once=True, reattach_window_s=60.0)

    assert (sent["execution"], sent["reattach_window_s"]) == ("at_most_once", 60.0)


def test_a_job_may_expire_at_a_moment() -> None:
    """It is sent as a moment; one before the job could begin names its option."""
    end = datetime(2027, 1, 31, 9, tzinfo=UTC)

    assert _sent(command=("true",), expires_at=end)["expires_at"] == "2027-01-31T09:00:00Z"
    with pytest.raises(RequestInvalid, match=r"--expires-at"):
        spec_of(Asked(command=("true",), expires_at=end.replace(tzinfo=None)))


def test_a_retry_word_is_refused_in_the_words_of_the_command_line() -> None:
    """The option is named, and what could be written instead."""
    with pytest.raises(RequestInvalid, match=r"--retry-on: .*'exit:0' names no exit codes"):
        spec_of(Asked(command=("true",), retries=1, retry_on=["exit:0"]))


def test_a_wrong_word_of_a_list_is_told_once() -> None:
    """That the list has nothing else in it is no second mistake."""
    with pytest.raises(RequestInvalid, match=r"^--retry-on: 'blue' is no failure") as refusal:
        spec_of(Asked(command=("true",), retries=1, retry_on=["blue"]))

    assert refusal.value.fields == ()


def test_another_kind_takes_params() -> None:
    """A kind that this program does not know is left to the server to judge."""
    assert _sent(kind="delay", params='{"ms": 20}')["params"] == {"ms": 20}
    assert _sent(kind="my-kind", params='{"deep": [1, {"x": null}]}')["kind"] == "my-kind"
    assert _sent(kind="my-kind")["params"] == {}
    assert _sent(kind="command", params='{"argv": ["true"]}')["params"] == {"argv": ["true"]}


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({}, "nothing to run"),
        ({"command": ("a",), "shell": "b"}, "either a command"),
        ({"command": ("",)}, "must not be empty"),
        ({"command": ("a\0b",)}, "the command's word 1"),
        ({"command": ("a", "\udcff")}, "the command's word 2"),
        ({"shell": ""}, "--shell"),
        ({"command": ("a",), "cwd": ""}, "--cwd"),
        ({"command": ("a",), "priority": 500}, "--priority: 500"),
        ({"command": ("a",), "timeout_s": 0.0}, "--timeout: 0.0"),
        ({"command": ("a",), "grace_s": 1e9}, "--grace"),
        ({"command": ("a",), "name": "x\ny"}, "--name"),
        ({"command": ("a",), "name": ""}, "--name"),
        ({"command": ("a",), "tags": ("a b",)}, "--tag or --requires: 'a b'"),
        ({"command": ("a",), "labels": {"k" * 101: ""}}, "--label"),
        ({"command": ("a",), "env": {"ORCHESTRATOR_X": "1"}}, "--env"),
        ({"command": ("a",), "stdin": b"\xff"}, "--stdin is not UTF-8"),
        ({"command": ("a",), "stdin": b"x" * 262_145}, "--stdin is longer"),
        ({"command": ("a",), "stdin": b"\0"}, "--stdin"),
        ({"kind": "delay", "params": "{"}, "--params is not JSON"),
        ({"kind": "delay", "params": "[" * 100_000}, "--params is not JSON"),
        ({"kind": "delay", "params": "[1]"}, "not a JSON object"),
        ({"kind": "delay", "params": '{"ms": 1, "ms": 2}'}, "'ms' stands there twice"),
        ({"kind": "delay", "params": '{"ms": NaN}'}, "NaN is no number"),
        ({"kind": "delay", "params": '{"ms": -1}'}, "--params: ms: input should"),
        ({"kind": "delay", "params": "@/no/such/file"}, "/no/such/file cannot be read"),
        ({"kind": "delay"}, "--params"),
        ({"kind": "delay", "command": ("a",)}, "--kind delay and command exclude"),
        ({"kind": "delay", "stdin": b""}, "--kind delay and --stdin exclude"),
        ({"params": "{}", "shell": "a"}, "--params and --shell exclude"),
        ({"kind": "", "command": ("a",)}, "exclude"),
    ],
)
def test_a_mistake_names_its_option(asked: dict[str, Any], words: str) -> None:
    """Each refusal says which option is wrong, and what to do."""
    with pytest.raises(RequestInvalid) as refused:
        spec_of(Asked(**asked))

    said = " ".join([refused.value.message, *(f"{a}: {b}" for a, b in refused.value.fields)])
    assert words in said
    assert refused.value.exit_code == 2


def test_a_secret_is_not_repeated() -> None:
    """The value of a variable that is refused may be a password, and is not shown."""
    with pytest.raises(RequestInvalid) as refused:
        spec_of(Asked(command=("a",), env={"PASSWORD": "hunter2\0"}))

    said = f"{refused.value.message} {refused.value.hint} {refused.value.fields}"
    assert "--env" in said
    assert "hunter2" not in said


def test_every_mistake_is_told_at_once() -> None:
    """Two faults are two lines, not two attempts."""
    with pytest.raises(RequestInvalid) as refused:
        spec_of(Asked(command=("a",), priority=500, timeout_s=-1.0))

    assert {refused.value.message.split(":")[0], *dict(refused.value.fields)} == {
        "--priority",
        "--timeout",
    }


@pytest.mark.parametrize(
    ("field", "option"),
    [
        ("timeout_s", "--timeout"),
        ("params.argv.2", "the command's word 3"),
        ("params.argv", "the command"),
        ("params.cwd", "--cwd"),
        ("params.ms", "--params"),
        ("env.A", "--env"),
        ("requires.tags.0", "--tag or --requires"),
        ("unheard_of", None),
    ],
)
def test_a_field_of_the_api_is_named_by_its_option(field: str, option: str | None) -> None:
    """What the server refuses is told in the words that were typed."""
    assert option_of(field) == option


@pytest.mark.parametrize(
    ("asked", "begin"),
    [
        (Asked(command=[""]), "the command: the first item"),
        (Asked(shell="x" * 70_000), "--shell: "),
        (Asked(kind="command", params="{}"), "--params: give either argv"),
    ],
)
def test_a_fault_of_the_whole_names_what_was_typed(asked: Asked, begin: str) -> None:
    """No option is named that nobody gave, and no place that is empty."""
    with pytest.raises(RequestInvalid) as refused:
        spec_of(asked)

    assert refused.value.message.startswith(begin)
    assert ": :" not in refused.value.message
