"""Jobs that wait for others, alone and in a batch, from the command line."""

import json
from typing import Any

from tests.support.installation import Installation


def lines(*jobs: dict[str, Any]) -> bytes:
    """Return a file of jobs."""
    return "\n".join(json.dumps(job) for job in jobs).encode()


def shell(script: str, *needs: int) -> dict[str, Any]:
    """Return a job that gives a script to a shell, once other ones of its file succeeded."""
    params = {"script": script, "shell": True}
    return {"kind": "command", "params": params, "depends_on": [{"item": one} for one in needs]}


def test_a_batch_fails_is_mended_and_succeeds(house: Installation) -> None:
    """What failed is named, and repeated with all that waited for it; the rest is left alone."""
    gate = house.home / "gate"
    jobs = lines(shell("echo built"), shell(f"test -e {gate}", 0), shell("echo shipped", 1))

    made = house.cli("batches", "submit", "--name", "nightly", "-", stdin=jobs)
    assert made.returncode == 0, made.stderr.decode()
    batch_id = made.stdout.decode().strip()
    first = house.cli("batches", "wait", batch_id)

    assert first.returncode == 1
    assert b"done: 2 failed, 1 succeeded" in first.stderr
    shown = house.cli("batches", "show", batch_id).stdout.decode()
    assert "nightly" in shown
    assert "dependency_failed" in shown
    gate.touch()
    again = house.cli("batches", "retry-failed", batch_id)
    assert len(again.stdout.split()) == 2
    second = house.cli("batches", "wait", "--json", batch_id)
    assert second.returncode == 0
    told = json.loads(second.stdout)
    assert (told["counts"], told["succeeded"]) == ({"failed": 2, "succeeded": 3}, True)
    wrong = house.cli("batches", "submit", "-", stdin=lines(shell("a"), shell("b", 1)))
    assert wrong.returncode == 2
    assert b"line 2: depends_on: it waits for itself: 1" in wrong.stderr


def test_a_job_follows_another_one(house: Installation) -> None:
    """It begins when the other has succeeded, and says for what it waits until then."""
    gate = house.home / "open"
    first = house.submit("--name", "build", "--shell", f"until [ -e {gate} ]; do sleep 0.05; done")
    then = house.submit("--after", first, "--", "echo", "tested")
    last = house.submit("--after-end", then, "--start-within", "1h", "--", "echo", "tidied")

    why = house.cli("jobs", "explain", then).stdout.decode()
    gate.touch()

    assert f"{first} (build" in why
    assert house.wait_state(last, "succeeded")["spec"]["queue_ttl_s"] == 3600
    assert house.job(then)["finished_at"] < house.job(last)["started_at"]
