"""Orders for many jobs: counted, asked about, given, from the command line."""

import json
from typing import Any

import pytest

from tests.integration.cli.commands import CommandLine
from tests.support.fake_api import CREATED, JOB_ID, FakeApi, answer

BULK = "/api/v1/bulk"


def _bulk(fake: FakeApi, count: int = 3, **fields: Any) -> None:
    """Count so many jobs, and be done with the order at the second look."""
    view = {"id": "bulk_1", "action": "cancel", "q": "q", "owner": "ada", "count": count}
    view |= {"done": 0, "refused": 0, "created_at": CREATED}
    end = {**view, "done": count, "changed": 0, "finished_at": CREATED, **fields}
    fake.on(
        "POST",
        BULK,
        lambda asked: answer(
            {"count": count, "token": "t"} if asked.json().get("dry_run") else view,
            200 if asked.json().get("dry_run") else 202,
        ),
    )
    fake.on("GET", f"{BULK}/bulk_1", answer(end))


@pytest.mark.parametrize(
    ("verb", "more", "said"),
    [
        ("cancel", ["--force"], {"action": "cancel", "force": True}),
        ("hold", [], {"action": "hold"}),
        ("release", ["--comment", "why"], {"action": "release", "comment": "why"}),
        ("retry", [], {"action": "retry"}),
        ("delete", [], {"action": "delete"}),
        ("set", ["--priority", "5"], {"action": "priority", "priority": 5}),
        ("set", ["--queue", "night"], {"action": "queue", "queue": "night"}),
    ],
)
def test_an_order_for_many_is_counted_and_then_given(
    cli: CommandLine, fake: FakeApi, verb: str, more: list[str], said: dict[str, Any]
) -> None:
    """The very same order is counted and given; what was left out is told."""
    _bulk(fake, done=2, changed=1)

    done = cli("jobs", verb, "--where", "state:failed", "--yes", *more)

    assert done.returncode == 0, done.stderr
    assert b"2 jobs are " in done.stderr
    assert b"1 were no longer meant" in done.stderr
    first, second = fake.asked[:2]
    assert first.json() == {"q": "state:failed", **said, "dry_run": True}
    assert second.json() == {"q": "state:failed", **said, "token": "t"}


def test_nobody_is_asked_twice_for_what_was_only_counted(cli: CommandLine, fake: FakeApi) -> None:
    """A dry run changes nothing; without a person to ask, nothing is done, unless told so."""
    _bulk(fake)

    counted = cli("jobs", "cancel", "--where", "kind:command", "--dry-run")
    silent = cli("jobs", "cancel", "--where", "kind:command")

    assert counted.returncode == 0
    assert b"3 jobs would be cancelled; nothing was changed" in counted.stderr
    assert silent.returncode == 2
    assert b"say --yes" in silent.stderr
    assert all(asked.json()["dry_run"] for asked in fake.asked)


def test_an_order_that_could_not_go_on_says_why(cli: CommandLine, fake: FakeApi) -> None:
    """What was done is told, then the reason; it is no success."""
    _bulk(fake, action="hold", done=1, changed=None, failure="colour is no key")

    done = cli("jobs", "hold", "--where", "state:queued", "--yes")

    assert done.returncode == 1
    assert b"1 job is held\n" in done.stderr
    assert b"the order could not go on: colour is no key" in done.stderr


def test_a_program_is_told_that_no_job_is_meant(cli: CommandLine, fake: FakeApi) -> None:
    """With --json there is always a document to read."""
    _bulk(fake, count=0)

    done = cli("jobs", "hold", "--where", "state:queued", "--yes", "--json")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["count"] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["hold"], b"their ids, or --where FILTER"),
        (["hold", JOB_ID, "--where", "x"], b"either ids or --where"),
        (["hold", JOB_ID, "--yes"], b"go with --where"),
    ],
)
def test_either_ids_or_a_filter_say_which_jobs(
    cli: CommandLine, fake: FakeApi, arguments: list[str], words: bytes
) -> None:
    """Neither both nor none of the two, and nobody is asked."""
    done = cli("jobs", *arguments)

    assert done.returncode == 2
    assert words in done.stderr
    assert not fake.asked
