"""A job that fails is tried again as its policy says, and not otherwise."""

from pathlib import Path

import pytest

from tests.e2e.test_restarts import Counting
from tests.support.installation import Installation, installed
from tests.support.waiting import wait_until

FAST = ("--backoff", "10ms,1,10ms")


def _flaky(house: Installation, name: str, *codes: int) -> str:
    """Return a script that ends with one code after the other, and at last with 0."""
    counter = house.home / f"{name}.count"
    ends = "; ".join(f"[ $n = {n} ] && exit {code}" for n, code in enumerate(codes, 1))
    return f"echo x >> {counter}; n=$(wc -l < {counter}); {ends}; echo try $n is good"


def test_the_failures_that_are_named_are_tried_again(house: Installation) -> None:
    """Exit 75 and 3 are tried again; the third try succeeds, and all three can be read."""
    script = _flaky(house, "named", 75, 3)

    done = house.cli(
        *("jobs", "submit", "--follow", "--retries", "5", "--retry-on", "exit:75,exit:1-5"),
        *(*FAST, "--name", "named", "--", "sh", "-c", script),
    )

    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == b"try 3 is good\n"
    (job,) = house.json("jobs", "list", "--name", "named")["items"]
    attempts = house.job(job["id"])["attempts"]
    assert [attempt["exit_code"] for attempt in attempts] == [75, 3, 0]


def test_any_other_failure_is_final(house: Installation) -> None:
    """A code that the policy does not name ends the job at once, with that code."""
    script = _flaky(house, "other", 75, 9)

    done = house.cli(
        *("jobs", "submit", "--follow", "--retries", "5", "--retry-on", "exit:75", *FAST),
        *("--", "sh", "-c", script),
    )

    assert done.returncode == 9


def test_a_timeout_may_be_tried_again(house: Installation) -> None:
    """The first try is silent for too long; the second one speaks."""
    gate = house.home / "spoken"
    script = f"[ -e {gate} ] || {{ touch {gate}; sleep 60; }}; echo spoke"

    job_id = house.submit(
        *("--retries", "1", "--retry-on", "timeout", "--silence", "300ms", "--grace", "1s", *FAST),
        *("--", "sh", "-c", script),
    )

    job = house.wait_state(job_id, "succeeded", "failed")
    assert [attempt["reason"] for attempt in job["attempts"]] == ["timeout_silence", None]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--retries", "2", "--retry-on", "exit:0"), b"--retry-on: 'exit:0' names no"),
        (("--retries", "2", "--retry-on", "sometimes"), b"there are: any, exit:75"),
        (("--retries", "2", "--backoff", "soon"), b"'soon' is no duration"),
        (("--retries", "2", "--backoff", "1s,2,3,4"), b"for example 5s,2,10m"),
        (("--retry-on", "timeout"), b"say how many, with --retries N"),
        (("--timeout", "10 minutes"), b"write 90 (seconds), 1m30s or 2h"),
        (("--at-most-once", "--retries", "2"), b"exclude each other"),
        (("--at-most-once", "--max-lost", "1"), b"exclude each other"),
        (("--at-most-once", "--reattach-window", "5s"), b"--reattach-window"),
        (("--reattach-window", "5m"), b"is for --at-most-once"),
    ],
)
def test_a_policy_that_cannot_be_is_refused(
    house: Installation, options: tuple[str, ...], said: bytes
) -> None:
    """The option is named, and what would be right; nothing is submitted."""
    done = house.cli("jobs", "submit", *options, "--", "true")

    assert done.returncode in {1, 2, 78}
    assert said in done.stderr.replace(b"\n  ", b" "), done.stderr.decode()


def test_a_timeout_is_enforced_without_a_server(home: Path) -> None:
    """Kill server and worker: the shim still ends the command within its time and grace."""
    with installed(home) as house:
        counting = Counting(house, "timed", "--timeout", "4s", "--grace", "1s")

        house.kill()

        wait_until(lambda: not counting.alive(), timeout_s=4 + 1 + 1)
        house.start()
        job = house.wait_state(counting.job_id, "failed")
        assert (job["reason"], job["attempt"]) == ("timeout_run", 1)
