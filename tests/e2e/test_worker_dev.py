"""`worker dev` and `worker once`: a worker for the folder at hand, and what its deaths cost."""

import json
import os
import re
import signal
import stat
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from orchestrator.protocol.tokens import make_token
from tests.support.conversation import Conversation, Shell
from tests.support.installation import Installation
from tests.support.processes import Program, program
from worker.dotenv_file import STATE

WORKER = [sys.executable, "-m", "worker"]
HOST = {
    "hostname": "oak",
    "platform": "linux",
    "arch": "x86_64",
    "cpu_count": 8,
    "memory_bytes": 2**34,
    "python": "3.11",
}


def _token(house: Installation, name: str) -> str:
    """Return a new worker's token."""
    key = (house.home / "data/orchestrator/server/enrol.key").read_text().strip()
    body = {"name": name[:60], "fingerprint": f"the desk of {name}", "host": HOST}
    request = urllib.request.Request(
        f"{house.url}/api/worker/v1/enrol",
        json.dumps(body).encode(),
        {"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        token: str = json.load(answer)["token"]
    return token


@pytest.fixture
def desk(house: Installation, request: pytest.FixtureRequest) -> Path:
    """Give a folder whose `.env` names the server, a token and a tag of its own."""
    folder = house.home / re.sub(r"\W", "-", request.node.name).strip("-")
    folder.mkdir()
    env = folder / ".env"
    env.write_text(
        f"SERVER_URL={house.url}\nWORKER_TOKEN={_token(house, folder.name)}\nWORKER_TAGS=desk\n"
    )
    env.chmod(0o600)
    return folder


@contextmanager
def dev(house: Installation, desk: Path, *arguments: str) -> Iterator[Program]:
    """Run `worker dev` there, and wait until it is ready."""
    with program(*WORKER, "dev", *arguments, cwd=desk, env=house.env) as started:
        started.wait_for("worker.ready", timeout_s=30)
        yield started


def _counting(desk: Path) -> str:
    """Return a script that counts to five, and notes each time that it was started."""
    return f"echo start >> {desk}/starts; for i in 1 2 3 4 5; do echo line $i; sleep 0.5; done"


def _lines(house: Installation, job_id: str) -> bytes:
    return house.cli("jobs", "logs", job_id).stdout


def test_the_basic_flow(house: Installation, desk: Path) -> None:
    """Two lines in a file are all it takes; jobs run in the folder, and Ctrl-C ends it well."""
    with dev(house, desk) as worker:
        done = house.cli("jobs", "submit", "--tag", "desk", "--follow", "--", "pwd")

        assert done.stdout.decode().strip() == str(desk)
        worker.signal(signal.SIGINT)
        assert worker.wait() == 0


def test_the_worker_that_kills_itself_loses_nothing(house: Installation, desk: Path) -> None:
    """It dies in the middle of the job, is started again, and the job never noticed."""
    with dev(house, desk, "--kill-after=0.7") as worker:
        job_id = house.submit("--tag", "desk", "--shell", _counting(desk))

        job = house.wait_state(job_id, "succeeded")

        assert worker.said.count("fault.injected") == 1
        assert "worker.restarted" in worker.said
    assert job["attempt"] == 1
    assert _lines(house, job_id) == b"line 1\nline 2\nline 3\nline 4\nline 5\n"
    assert (desk / "starts").read_text() == "start\n"


def test_random_deaths_start_nothing_twice(house: Installation, desk: Path) -> None:
    """Whatever moments the seed gives: every job is done, each of them once."""
    with dev(house, desk, "--random-failures", "6") as worker:
        scripts = [f"echo {number} >> {desk}/done; sleep 0.4" for number in range(8)]
        jobs = [house.submit("--tag", "desk", "--shell", script) for script in scripts]

        for job_id in jobs:
            house.wait_state(job_id, "succeeded", timeout_s=60)
        worker.wait_for("fault.injected", timeout_s=60)

    assert sorted((desk / "done").read_text().split()) == [str(number) for number in range(8)]


def test_a_restart_of_the_server_is_recovered_from(house: Installation, desk: Path) -> None:
    """The job goes on while the server is away, and what it said meanwhile arrives."""
    with dev(house, desk):
        job_id = house.submit("--tag", "desk", "--shell", _counting(desk))
        house.wait_state(job_id, "running")
        [pid] = house.children("server\0run")

        os.kill(pid, signal.SIGKILL)

        house.wait_state(job_id, "succeeded")
    assert _lines(house, job_id) == b"line 1\nline 2\nline 3\nline 4\nline 5\n"
    assert (desk / "starts").read_text().count("start") == 1


def test_once_runs_one_job_and_ends(house: Installation, desk: Path) -> None:
    """The second job waits for somebody else."""
    first = house.submit("--tag", "desk", "--", "true")
    second = house.submit("--tag", "desk", "--", "true")
    with program(*WORKER, "once", cwd=desk, env=house.env) as worker:
        assert worker.wait(timeout_s=30) == 0

    assert [house.job(job_id)["state"] for job_id in (first, second)] == ["succeeded", "queued"]
    house.cli("jobs", "cancel", second)


def test_once_runs_the_job_that_was_asked_for(house: Installation, desk: Path) -> None:
    """It stands behind another one; once it is held back, that is told, and nothing is run."""
    first = house.submit("--tag", "desk", "--", "true")
    wished = house.submit("--tag", "desk", "--", "sh", "-c", "exit 9")
    house.cli("jobs", "hold", wished)
    once = [*WORKER, "once", "--job", wished, "--reflect-exit-status"]

    with program(*once, cwd=desk, env=house.env) as worker:
        assert worker.wait(timeout_s=30) == 8
    assert f"job {wished} is held back" in worker.stderr
    assert f"orchestrator jobs release {wished}" in worker.stderr

    house.cli("jobs", "release", wished)
    with program(*once, cwd=desk, env=house.env) as worker:
        assert worker.wait(timeout_s=30) == 9

    assert [house.job(job_id)["state"] for job_id in (first, wished)] == ["queued", "failed"]
    house.cli("jobs", "cancel", first)


def test_once_does_not_end_with_a_job_that_was_given_back(house: Installation, desk: Path) -> None:
    """A machine that refuses the job's process has run nothing: the next job is taken."""
    log = desk / "state" / "state" / "spool" / "shims.log"
    log.mkdir(parents=True, mode=0o700)  # no shim can begin where it cannot leave its last words
    for folder in (desk / "state", desk / "state" / "state", log.parent):
        folder.chmod(0o700)
    first = house.submit("--tag", "desk", "--", "true")
    env = {**house.env, STATE[0]: str(desk / "state")}
    with program(*WORKER, "once", cwd=desk, env=env) as worker:
        worker.wait_for("slots.limited")
        worker.wait_for("attempt.released")
        log.rmdir()
        second = house.submit("--tag", "desk", "--", "true")
        assert worker.wait(timeout_s=30) == 0

    states = [house.job(job_id)["state"] for job_id in (first, second)]
    assert sorted(states) == ["queued", "succeeded"]
    for job_id, state in zip((first, second), states, strict=True):
        if state == "queued":
            house.cli("jobs", "cancel", job_id)


@pytest.mark.parametrize("name", ["orch-launcher", "orch-nursery"])
def test_the_death_of_a_process_in_between_is_told_in_a_sentence(
    house: Installation, desk: Path, name: str
) -> None:
    """Nobody can start the worker any more: what asks to be started again says why, with 70."""
    with dev(house, desk) as worker:
        worker.family.look()
        [between] = [
            p for p in psutil.Process(worker.pid).children(recursive=True) if p.name() == name
        ]

        between.kill()

        assert worker.wait(timeout_s=20) == 70
    assert "worker: a process between this one and its worker was killed" in worker.stderr
    assert "Traceback" not in worker.stderr


def test_names_of_older_systems_are_understood(house: Installation, desk: Path) -> None:
    """A file that was written for one of them works as it is."""
    token = (desk / ".env").read_text().split("WORKER_TOKEN=")[1].split()[0]
    (desk / ".env").write_text(
        f"CONVEX_URL={house.url}\nAPI_KEY={token}\nAGENT_ID=old-desk\nPOLL_INTERVAL=2000\n"
    )
    with dev(house, desk) as worker:
        assert token not in worker.said


def test_a_key_enrols_the_folders_worker_once(house: Installation, desk: Path) -> None:
    """Its token is kept for its owner alone; a second start is the same worker with the same one.

    When the server does not know the token any more, the key brings another one.
    """
    key = (house.home / "data/orchestrator/server/enrol.key").read_text().strip()
    state = desk / "state"
    (desk / ".env").write_text(
        f"CONVEX_URL={house.url}\nAPI_KEY={key}\nAGENT_ID=old desk\nWORKER_TAGS=desk\n"
        f"WORKER_STATE_DIR={state}\n"
    )
    with dev(house, desk) as worker:
        first = (state / "token").read_text()
        assert f"enrolled as {first.split(':')[1]}" in worker.stderr
        assert "old-desk" in {one["name"] for one in house.json("workers", "list")["items"]}
        assert not {key, first.strip()} & set(worker.said.split())
    assert stat.S_IMODE((state / "token").stat().st_mode) == 0o600
    with dev(house, desk) as worker:
        assert "enrolled" not in worker.stderr
        assert (state / "token").read_text() == first

    unknown = _token(house, "nobody").replace("secret_", "secret_0")[:-1]
    (state / "enrolled.json").write_text(json.dumps({"url": house.url, "token": unknown}))
    with dev(house, desk) as worker:
        assert f"enrolled as {first.split(':')[1]}" in worker.stderr
    assert (desk / ".env").read_text().count(key) == 1


def test_a_key_that_is_not_taken_is_told(house: Installation, desk: Path) -> None:
    """One that is mistyped, and one that is of another server: whose it is, and what to do."""
    other = make_token("wak", b"z" * 32)
    for key, code, told in (
        (f"{other}x", 78, "API_KEY is a mistyped key for enrolling workers"),
        (other, 77, "does not take the key for enrolling workers"),
    ):
        (desk / ".env").write_text(f"SERVER_URL={house.url}\nAPI_KEY={key}\n")
        with program(*WORKER, "once", cwd=desk, env=house.env) as worker:
            assert worker.wait(timeout_s=30) == code
        assert told in worker.stderr
        assert key not in worker.said


def test_what_is_missing_is_told_without_a_terminal(tmp_path: Path) -> None:
    """Nobody is there to ask: which names, in which file, and code 78."""
    done = subprocess.run(
        [*WORKER, "dev"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "SERVER_URL": "http://127.0.0.1:9"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=30,
        check=False,
    )

    assert done.returncode == 78
    assert b"WORKER_TOKEN is not set" in done.stderr
    assert str(tmp_path / ".env").encode() in done.stderr


@pytest.mark.parametrize("typed", ["token", "key"])
def test_what_is_missing_is_asked_for_on_a_terminal(
    house: Installation, desk: Path, typed: str
) -> None:
    """It is saved for the next time, for its owner alone, and the token is not shown.

    A key is used at once and is not saved: what it brought is.
    """
    secret = (desk / ".env").read_text().split("WORKER_TOKEN=")[1].split()[0]
    if typed == "key":
        secret = (house.home / "data/orchestrator/server/enrol.key").read_text().strip()
    (desk / ".env").write_text("# mine\nWORKER_TAGS=desk")
    with Conversation(Shell(desk, house.env), *WORKER, "dev", patience_s=30) as worker:
        worker.answer("SERVER_URL", house.url)
        worker.answer("WORKER_TOKEN", secret)
        worker.expect("worker.ready")
        worker.interrupt()
        assert worker.end() == 0

    assert secret not in worker.seen
    assert stat.S_IMODE((desk / ".env").stat().st_mode) == 0o600
    saved, _, token = (desk / ".env").read_text().partition("WORKER_TOKEN=")
    assert saved == f"# mine\nWORKER_TAGS=desk\nSERVER_URL={house.url}\n"
    assert token.startswith("machine_")
    assert (token.strip() == secret) is (typed == "token")
