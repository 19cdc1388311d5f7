"""Batches, and a server that refuses some of a file, or goes away in between."""

import json
from typing import Any

import pytest

from orchestrator.protocol import limits
from tests.integration.cli.commands import CommandLine
from tests.support.fake_api import CREATED, Asked, FakeApi, Reply, answer, problem

BATCHES = "/api/v1/batches"
BATCH = "batch_" + "0" * 26


def lines(count: int) -> bytes:
    """Return a file of so many jobs."""
    return b"\n".join(json.dumps({"kind": "delay"}).encode() for _ in range(count))


def taken(asked: Asked) -> Reply:
    """Take in what was sent."""
    ids = [f"job_{number:026}" for number, _ in enumerate(asked.json()["items"])]
    batch: dict[str, Any] = {"id": BATCH, "state": "open", "created_at": CREATED, "job_ids": ids}
    return answer(batch, 201)


def test_whoever_mends_a_line_goes_on_where_the_file_was_refused(
    cli: CommandLine, fake: FakeApi
) -> None:
    """What arrived before the line that is wrong is there, and is not made twice."""
    fault = {"field": "items.0.kind", "fault": "is not a known kind of job"}
    fake.on("POST", BATCHES, taken)
    fake.on(
        "POST", f"{BATCHES}/{BATCH}/jobs", problem(422, "request_invalid", "no", fields=[fault])
    )

    file = lines(limits.BATCH_ITEMS + 1)
    done = cli("batches", "submit", "--idempotency-key", "mine", "-", stdin=file)

    assert done.returncode == 2
    told = done.stderr.decode()
    assert f"line {limits.BATCH_ITEMS + 1}: kind" in told
    assert f"1000 jobs were accepted into {BATCH}, which is open" in told
    assert "mend these lines, then run the same again with --idempotency-key mine" in told


@pytest.mark.parametrize(("state", "repeatable"), [("failed", 1), ("failed", 0), ("expired", 0)])
def test_only_what_would_be_repeated_is_advised_to_be(
    cli: CommandLine, fake: FakeApi, state: str, repeatable: int
) -> None:
    """Jobs that expired, or were tried again already, are shown, and nothing is said of them."""
    batch = {"id": BATCH, "state": "closed", "created_at": CREATED, "jobs": 1}
    job = {"id": "job_" + "0" * 26, "kind": "delay", "state": state, "created_at": CREATED}
    fake.on("GET", f"{BATCHES}/{BATCH}", answer({**batch, "repeatable": repeatable}))
    fake.on("GET", f"{BATCHES}/{BATCH}/jobs", answer({"items": [job], "next_cursor": None}))

    done = cli("batches", "show", BATCH)

    assert done.returncode == 0, done.stderr
    assert job["id"].encode() in done.stdout
    assert (b"batches retry-failed" in done.stderr) is bool(repeatable)


def test_who_waits_for_a_batch_looks_for_a_server_that_is_gone(
    cli: CommandLine, fake: FakeApi
) -> None:
    """As for a job: the batch goes on, and so does the waiting, for as long as somebody said."""
    batch = {"id": BATCH, "state": "closed", "created_at": CREATED}
    gone = Reply(silent=True)
    path = f"{BATCHES}/{BATCH}"
    fake.on("GET", path, answer(batch), *[gone] * 6, answer({**batch, "done": True}))

    waited = cli("batches", "wait", BATCH)
    fake.on("GET", path, answer(batch), gone)
    left = cli("batches", "wait", BATCH, "--reconnect-for", "300ms")

    assert waited.returncode == 1, waited.stderr
    assert b"connected again" in waited.stderr
    assert left.returncode == 69
    assert f"the batch goes on without us; resume with: orchestrator batches wait {BATCH}" in (
        left.stderr.decode()
    )


def test_a_refused_file_of_which_nothing_arrived_is_just_refused(
    cli: CommandLine, fake: FakeApi
) -> None:
    """The server's own words say what to do."""
    fake.on("POST", BATCHES, problem(422, "request_invalid", "no", hint="think", fields=[]))

    done = cli("batches", "submit", "-", stdin=lines(1))

    assert done.returncode == 2
    assert b"think" in done.stderr
    assert b"accepted" not in done.stderr
