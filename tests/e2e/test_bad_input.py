"""Mistakes are answered with what is wrong, where, and what to do; nothing is stored."""

import json
import urllib.error
import urllib.request
from typing import Any

import pytest

from tests.support.installation import Installation


def _post(house: Installation, body: bytes, *, key: str | None = None) -> tuple[int, Any]:
    request = urllib.request.Request(
        f"{house.url}/api/v1/jobs",
        data=body,
        headers={
            "Authorization": f"Bearer {key or house.key}",
            "Content-Type": "application/json",
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refusal:
        return refusal.code, json.load(refusal)


def _jobs(house: Installation) -> int:
    return len(house.json("jobs", "list", "--limit", "500")["items"])


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b'{"kind":"command","params":{"argv":["true"]},"comand":1}', 422, "comand"),
        (b'{"kind":"command","params":{"argv":["true"],"cdw":"x"}}', 422, "cdw"),
        (b'{"kind":"command","params":{"argv":"true"}}', 422, "argv"),
        (b'{"kind":"command","params":{"argv":["true"]},"priority":"1"}', 422, "priority"),
        (b'{"kind":"comand","params":{"argv":["true"]}}', 422, "command"),
        (b'{"kind":"command","kind":"delay","params":{}}', 400, "kind"),
        (b'{"kind":', 400, "JSON"),
        (b"[" * 100_000, 400, ""),
        (b'{"kind":"command","params":{"argv":["a\\u0000b"]}}', 422, "argv"),
        (b'{"kind":"command","params":{"argv":["' + b"x" * 2 * 1024 * 1024 + b'"]}}', 413, "1"),
    ],
)
def test_a_wrong_body_is_refused_by_name(
    house: Installation, body: bytes, status: int, words: str
) -> None:
    """Each fault is a problem document that names the place, and no job exists afterwards."""
    before = _jobs(house)

    answered, problem = _post(house, body)

    assert answered == status
    assert words in json.dumps(problem)
    assert problem["code"]
    assert _jobs(house) == before


def test_a_wrong_key_is_refused(house: Installation) -> None:
    """A key that the server does not know opens nothing, and the answer says what is expected."""
    answered, problem = _post(house, b"{}", key="pak_wrong")

    assert (answered, problem["code"]) == (401, "unauthenticated")
    done = house.cli("jobs", "list", env={"ORCHESTRATOR_API_KEY": "pak_wrong"})
    assert done.returncode == 77
    assert b"ORCHESTRATOR_API_KEY" in done.stderr


def test_a_missing_executable_is_named(house: Installation) -> None:
    """A command that does not exist fails with its name, not with a mystery."""
    job_id = house.submit("--", "no-such-program", "x")

    job = house.wait_state(job_id, "failed")

    assert job["reason"] == "spawn_error"
    assert "no-such-program" in job["message"]


def test_a_missing_directory_is_named(house: Installation) -> None:
    """A working directory that does not exist fails the job and says which one."""
    job_id = house.submit("--cwd", "no/such/place", "--", "true")

    job = house.wait_state(job_id, "failed")

    assert job["reason"] == "spawn_error"
    assert "no/such/place" in job["message"]


def test_a_directory_outside_the_worker_is_refused(house: Installation) -> None:
    """A path that leads out of the worker's directory is not followed."""
    job = house.wait_state(house.submit("--cwd", "../..", "--", "true"), "failed")

    assert job["reason"] == "spawn_error"


def test_no_server_is_said_plainly(house: Installation) -> None:
    """Without a server the exit code is 69 and the address is named."""
    done = house.cli(
        "jobs", "list", env={"ORCHESTRATOR_URL": "http://127.0.0.1:9", "ORCHESTRATOR_API_KEY": "x"}
    )

    assert done.returncode == 69
    assert b"127.0.0.1:9" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("submit",),
        ("submit", "--kind", "delay", "--params", "{", "--wait"),
        ("submit", "--env", "NOVALUE", "--", "true"),
        ("submit", "--timeout", "soon", "--", "true"),
        ("submit", "--upload", "/no/such/folder", "--", "true"),
        ("submit", "--wait", "--follow", "--", "true"),
        ("frobnicate",),
    ],
)
def test_wrong_usage_is_explained(house: Installation, words: tuple[str, ...]) -> None:
    """A wrong command line ends with 2 and says what was wrong, without a traceback."""
    done = house.cli("jobs", *words)

    assert done.returncode == 2
    assert done.stderr
    assert b"Traceback" not in done.stderr


def test_an_unknown_job_is_not_found(house: Installation) -> None:
    """Looking for a job that does not exist says so."""
    done = house.cli("jobs", "show", "job_" + "0" * 26)

    assert done.returncode == 1
    assert b"job_0000" in done.stderr
