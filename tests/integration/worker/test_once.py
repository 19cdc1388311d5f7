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


def test_one_job_may_be_asked_for(place: Workplace, desk: Path) -> None:
    """It is run though others came first, and they are left to others."""
    other, wished = place.server.sh("exit 3"), place.server.sh("exit 4")

    done = _once(place, "--job", wished, "--reflect-exit-status")

    assert done.returncode == 4
    assert place.server.attempts.keys() == {(wished, 1)}
    assert [job["job_id"] for job in place.server.queue] == [other]


def test_a_job_that_will_not_come_is_told_with_a_code(place: Workplace, desk: Path) -> None:
    """The server's words are in the log; nothing is run instead, and nothing is tried again."""
    place.server.sh("exit 3")
    place.server.unclaimable.add(wished := "job_" + "0" * 26)

    done = _once(place, "--job", wished, "--reflect-exit-status")

    assert done.returncode == 8
    assert "not_claimable" in done.stderr
    assert not place.server.attempts


def test_only_so_many_jobs_are_run(place: Workplace, desk: Path) -> None:
    """One after the other; of their ends the first bad one counts."""
    jobs = [place.server.sh(f"exit {code}") for code in (0, 6, 7, 0)]

    done = _once(place, "--max-jobs", "3", "--reflect-exit-status")

    assert done.returncode == 6
    assert place.server.attempts.keys() == {(job, 1) for job in jobs[:3]}
    assert place.server.left


def test_fewer_jobs_than_wanted_are_enough(place: Workplace, desk: Path) -> None:
    """It waits for each of them, and ends when the next one does not come."""
    place.server.sh("sleep 1.5")

    assert _once(place, "--max-jobs", "3", "--wait", "1s").returncode == 0

    assert place.server.left


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--job", "17"), "'17' is no id of a job, which begins with job_"),
        (("--job", "job_" + "0" * 26, "--max-jobs", "2"), "--job is one job"),
        (("--max-jobs", "0"), "0 is not in the range x>=1"),
    ],
)
def test_what_makes_no_sense_is_told(
    place: Workplace, desk: Path, arguments: tuple[str, ...], message: str
) -> None:
    """Before anybody is connected."""
    done = _once(place, *arguments)

    assert done.returncode == 2
    assert message in done.stderr
    assert place.server.session is None
