"""`worker once`: one job, and an exit code that a script can go by."""

import sys
from pathlib import Path

import pytest

from tests.support.processes import Program, clean_environment, program, python
from tests.support.workers import Workplace


@pytest.fixture
def desk(place: Workplace) -> Path:
    """Give a folder whose `.env` names the server and a token."""
    env = place.directory / ".env"
    env.write_text(f"SERVER_URL={place.server.url}\nWORKER_TOKEN={place.server.token}\n")
    env.chmod(0o600)
    return place.directory


def _once(place: Workplace, *arguments: str) -> Program:
    env = clean_environment(place.home, PYTHONPATH=str(Path.cwd()), **place.env)
    command = python("-m", "worker", "once", *arguments)
    with program(*command, env=env, cwd=place.directory) as running:
        running.wait(timeout_s=30)
        return running


@pytest.mark.parametrize(
    ("script", "fields", "status"),
    [
        ("exit 0", {}, 0),
        ("exit 75", {}, 75),
        ("kill -9 $$", {}, 137),
        ("sleep 60", {"timeout_s": 0.2}, 124),
    ],
)
def test_the_status_of_the_job_may_be_its_own(
    place: Workplace, desk: Path, script: str, fields: dict[str, float], status: int
) -> None:
    """Its code, 128 and its signal, 124 for a timeout; also a code that asks for a restart."""
    job = place.server.sh(script, **fields)

    assert _once(place, "--reflect-exit-status").returncode == status

    assert place.server.attempts.keys() == {(job, 1)}


def test_without_being_asked_it_says_only_that_it_is_done(place: Workplace, desk: Path) -> None:
    """The job's own failure is the server's to tell."""
    place.server.sh("exit 5")

    assert _once(place, "--wait", "20s").returncode == 0


def test_no_job_in_time_is_a_code_of_its_own(place: Workplace, desk: Path) -> None:
    """It gives back what may still come, says good-bye, and ends with 8."""
    assert _once(place, "--wait", "500ms", "--reflect-exit-status").returncode == 8

    assert place.server.left


def test_no_server_in_time_is_another_one(place: Workplace, desk: Path) -> None:
    """69, as for everybody who reaches no server."""
    place.server.stop()

    assert _once(place, "--wait", "500ms").returncode == 69


def test_a_wait_that_is_none_is_told(place: Workplace, desk: Path) -> None:
    """With how to write one."""
    done = _once(place, "--wait", "soon")

    assert done.returncode == 2
    assert "write 90, 90s, 15m or 2h" in done.stderr


def test_a_job_that_came_in_time_may_take_longer(place: Workplace, desk: Path) -> None:
    """The wait is for its beginning."""
    place.server.submit(argv=[sys.executable, "-c", "import time; time.sleep(2.5); exit(6)"])

    assert _once(place, "--wait", "2s", "--reflect-exit-status").returncode == 6
