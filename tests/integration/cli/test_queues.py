"""`orchestrator queues` and the limits of a job, against a real server."""

import json
from typing import Any

import pytest

from tests.integration.cli.commands import CommandLine

pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("real")]


def asked(cli: CommandLine, *words: str) -> Any:
    """Return what a command answers as JSON."""
    done = cli(*words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def submit(cli: CommandLine, *options: str) -> Any:
    """Submit a command with options."""
    done = cli("jobs", "submit", "--json", *options, "--", "true")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_queue_lives(cli: CommandLine) -> None:
    """It is made, listed, shown, changed, paused with a reason, resumed and deleted."""
    made = asked(cli, "queues", "set", "night", "--weight", "3", "--max-running", "2")
    assert (made["weight"], made["max_running"]) == (3, 2)
    changed = asked(cli, "queues", "set", "night", "--no-max-running", "--priority", "-5")
    assert (changed["weight"], changed["max_running"]) == (3, None)

    job = submit(cli, "--queue", "night")
    assert (job["queue"], job["priority"]) == ("night", -5)
    assert b"night    open   1" in cli("queues", "list").stdout
    assert cli("queues", "pause", "night", "--reason", "a long night").returncode == 0
    told = cli("jobs", "explain", job["id"])
    assert b"the queue night is paused" in told.stdout + told.stderr
    assert b"a long night" in cli("queues", "show", "night").stdout
    assert asked(cli, "queues", "resume", "night")["paused"] is False

    refused = cli("queues", "delete", "night")
    assert refused.returncode == 1
    assert job["id"].encode() in refused.stderr
    assert cli("jobs", "cancel", job["id"]).returncode == 0
    assert cli("queues", "delete", "night").returncode == 0
    assert cli("queues", "show", "night").returncode == 1


def test_an_unknown_queue_is_told_with_what_to_do(cli: CommandLine) -> None:
    """A submit to a queue that nobody made names those that there are."""
    done = cli("jobs", "submit", "--queue", "defautl", "--", "true")

    assert done.returncode == 2
    assert b"there is no queue defautl" in done.stderr
    assert b"orchestrator queues set defautl" in done.stderr


def test_limits_of_a_job_are_asked_for_in_words(cli: CommandLine) -> None:
    """Keys, rates and the fairness key are in the spec; a taken key may refuse the next job."""
    limits = ("--concurrency", "db=2", "--concurrency", "disk", "--rate", "api=10/1m")
    job = submit(cli, *limits, "--fairness-key", "team-web")

    spec = asked(cli, "jobs", "show", job["id"])["spec"]

    assert [(one["key"], one["limit"]) for one in spec["concurrency"]] == [("db", 2), ("disk", 1)]
    assert spec["rate_limit"] == [{"key": "api", "count": 10, "per_s": 60.0}]
    assert spec["fairness_key"] == "team-web"
    late = cli("jobs", "submit", "--concurrency", "disk", "--if-taken", "refuse", "--", "true")
    assert late.returncode == 1
    assert b"the key disk is taken: 1 of 1 by " + job["id"].encode() in late.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("jobs", "submit", "--rate", "api", "--", "true"), b"is no rate; write KEY=10/1m"),
        (("jobs", "submit", "--if-taken", "wait", "--", "true"), b"name it with --concurrency"),
        (("jobs", "submit", "--queue", "a b", "--", "true"), b"--queue"),
        (("queues", "set", "a/b"), b"is no name of a queue"),
        (("queues", "set", "q", "--max-running", "1", "--no-max-running"), b"exclude each other"),
    ],
)
def test_what_is_wrong_is_told(cli: CommandLine, words: tuple[str, ...], told: bytes) -> None:
    """A word that cannot be meant is refused before anything is sent."""
    done = cli(*words)

    assert done.returncode in {2, 78}
    assert told in done.stderr
