"""What somebody mistypes is told by its option, before anything is asked of a server."""

import pytest

from tests.integration.cli.commands import CommandLine
from tests.support.fake_api import JOB_ID, FakeApi

BATCH = "batch_" + "0" * 26


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("jobs", "cancel", "--where", "", "--yes"), "--where: "),
        (("jobs", "cancel", "--where", "x", "--yes", "--wait"), "--wait is for one job"),
        (("jobs", "set", JOB_ID, "--run-at", "1969-01-01T00:00Z"), "--run-at: the year must lie"),
        (("jobs", "set", JOB_ID, "--run-at", "9" * 17 + "d"), "behind the end of the calendar"),
        (("jobs", "set", JOB_ID, "--label", "k=" + "x" * 1001), "--label: "),
        (("queues", "set", "q", "--timeout", "0"), "--timeout: "),
        (("queues", "pause", "q", "--reason", " "), "is no line of text"),
        (("workers", "quarantine", "w", "--reason", ""), "is no line of text"),
        (("workers", "show", "a b"), "is no name of a worker"),
        (("token", "renew", "w", "--overlap", "25h"), "--overlap: "),
        (("schedules", "add", "s", "--at", "0001-01-01T00:00+14:00", "--", "x"), "is no time"),
        (("batches", "append", BATCH, "-", "--idempotency-key", "ü"), "is no key; it has 1 to"),
    ],
)
def test_a_mistake_is_told_and_nothing_is_asked(
    cli: CommandLine, fake: FakeApi, words: tuple[str, ...], told: str
) -> None:
    """It is somebody's mistake, and not a fault of the program."""
    done = cli(*words, stdin=b"{}")

    assert done.returncode in {2, 78}, done.stderr
    assert told in done.stderr.decode()
    assert not fake.asked
