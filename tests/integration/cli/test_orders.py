"""Orders about jobs that exist: what is sent when more is said than one request may hold."""

import json

import pytest

from orchestrator.protocol import limits
from tests.integration.cli.commands import CommandLine
from tests.support.fake_api import JOB_ID, Asked, FakeApi, Reply, answer, job, problem


@pytest.mark.parametrize("verb", ["hold", "release", "cancel"])
@pytest.mark.parametrize("comment", ["x" * (limits.LABEL_CHARS + 1), "caf\udce9"])
def test_a_comment_that_cannot_be_sent_is_refused(
    cli: CommandLine, fake: FakeApi, verb: str, comment: str
) -> None:
    """It is told by the option's name and with the limit; nobody is asked, and nothing is cut."""
    done = cli("jobs", verb, JOB_ID, "--comment", comment)

    assert done.returncode == 2
    assert "--comment" in done.stderr.decode()
    assert "1,000 characters" in done.stderr.decode()
    assert not fake.asked


def _ids(count: int) -> list[str]:
    return [f"job_{number:026}" for number in range(count)]


def _holds(asked: Asked) -> Reply:
    """Hold every job but the first and the last there may be."""
    ids = asked.json()["ids"]
    assert len(ids) <= limits.IDS
    refused = [one for one in ids if one in {_ids(1)[0], _ids(2500)[-1]}]
    return answer(
        {
            "items": [job() | {"id": one} for one in ids if one not in refused],
            "refused": [{"id": one, "code": "not_found", "detail": "no job"} for one in refused],
        }
    )


@pytest.mark.parametrize("verb", ["hold", "release"])
def test_more_jobs_than_one_order_may_name_are_several_orders(
    cli: CommandLine, fake: FakeApi, verb: str
) -> None:
    """What became of each is told once, and one refusal anywhere decides the exit code."""
    fake.on("POST", f"/api/v1/jobs/{verb}", _holds)
    ids = _ids(2500)

    done = cli("jobs", verb, *ids)
    as_json = cli("jobs", verb, "--json", *ids[:1001])
    all_held = cli("jobs", verb, *ids[1:1001])

    lines = done.stderr.decode().splitlines()
    assert len(lines) == len(ids)
    assert [line.split(": ")[1] for line in lines if "no job" in line] == [ids[0], ids[-1]]
    assert done.returncode == as_json.returncode == 1
    assert all_held.returncode == 0
    document = json.loads(as_json.stdout)
    assert [held["id"] for held in document["items"]] == ids[1:1001]
    assert [refusal["id"] for refusal in document["refused"]] == ids[:1]
    assert [len(asked.json()["ids"]) for asked in fake.asked] == [1000, 1000, 500, 1000, 1, 1000]


def test_jobs_are_changed_one_by_one(cli: CommandLine, fake: FakeApi) -> None:
    """Only what was said is sent; a refusal is told, decides the exit code, and stops nothing."""
    good, bad = _ids(2)
    fake.on("PATCH", f"/api/v1/jobs/{good}", answer(job() | {"id": good, "spec": {}}))
    fake.on("PATCH", f"/api/v1/jobs/{bad}", problem(409, "illegal_transition", "it is running"))

    done = cli(
        "jobs", "set", bad, good, "--priority", "5", "--run-at", "now", "--label", "a=b",
        "--label", "c", "--comment", "why",
    )  # fmt: skip

    assert done.returncode == 1
    assert done.stderr.decode().splitlines() == [
        f"orchestrator: {bad}: it is running",
        f"orchestrator: {good} is queued, and changed",
    ]
    assert fake.asked[1].json() == {
        "priority": 5,
        "run_at": None,
        "labels": {"a": "b", "c": None},
        "comment": "why",
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "say what is to be different: --priority, --queue, --run-at or --label"),
        (["--run-at", "tomorrow"], "'tomorrow' is no moment; write now, a time from now"),
        (["--run-at", "2026-01-31T09:00:00"], "with its time zone"),
        (["--priority", "101"], "-100<=x<=100"),
    ],
)
def test_a_change_that_cannot_be_meant_is_refused(
    cli: CommandLine, fake: FakeApi, arguments: list[str], words: str
) -> None:
    """Nobody is asked, and the words say what would be right."""
    done = cli("jobs", "set", JOB_ID, *arguments)

    assert done.returncode == 2
    assert words in done.stderr.decode()
    assert not fake.asked


def test_jobs_are_deleted_one_by_one(cli: CommandLine, fake: FakeApi) -> None:
    """What is not over is told, and the others are gone all the same."""
    good, bad = _ids(2)
    fake.on("DELETE", f"/api/v1/jobs/{good}", Reply(204))
    fake.on("DELETE", f"/api/v1/jobs/{bad}", problem(409, "illegal_transition", "it is queued"))

    done = cli("jobs", "delete", bad, good)
    alone = cli("jobs", "delete", bad)

    assert (done.returncode, alone.returncode) == (1, 1)
    assert done.stderr.decode().splitlines() == [
        f"orchestrator: {bad}: it is queued",
        f"orchestrator: {good} is deleted",
    ]


def test_what_is_old_is_counted_or_forgotten(cli: CommandLine, fake: FakeApi) -> None:
    """A preview and the deed differ in what is asked, and say so."""
    items = [{"state": "failed", "kept_days": 90.0, "jobs": 3, "output_bytes": 4096}]
    fake.on("GET", "/api/v1/retention", answer({"items": items}))
    fake.on("POST", "/api/v1/retention/prune", answer({"items": items, "forgotten": 2}))

    seen, done = cli("server", "prune", "--dry-run"), cli("server", "prune")

    assert seen.stdout.decode().splitlines()[1].split() == ["failed", "90", "days", "3", "4096"]
    assert "3 jobs would be forgotten; nothing was changed" in seen.stderr.decode()
    assert "2 jobs are forgotten" in done.stderr.decode()
    assert [asked.method for asked in fake.asked] == ["GET", "POST"]
