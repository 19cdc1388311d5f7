"""Cancelling: what is left behind is told, force does not wait, and no cancel gets lost."""

import os
import signal
from pathlib import Path

from tests.e2e.test_restarts import Counting
from tests.support.installation import Installation, installed
from tests.support.waiting import wait_until

STUBBORN = (
    "trap '' TERM; setsid sh -c 'trap \"\" TERM; sleep 61; :' & "
    "echo $$ > {pid}; while :; do sleep 0.2; done"
)


def _stubborn(house: Installation, name: str, *options: str) -> tuple[str, int]:
    """Start a job that ignores SIGTERM and hides a process in a session of its own."""
    pid_file = house.home / f"{name}.pid"
    script = STUBBORN.format(pid=pid_file)
    job_id = house.submit("--name", name, *options, "--", "sh", "-c", script)
    wait_until(lambda: pid_file.exists() and pid_file.read_text().strip() != "", timeout_s=20)
    return job_id, int(pid_file.read_text())


def test_a_cancel_tells_what_had_been_left_behind(house: Installation) -> None:
    """With --wait the end is told, and how many processes had to be killed besides."""
    job_id, pid = _stubborn(house, "left", "--grace", "300ms")

    done = house.cli("jobs", "cancel", "--wait", job_id)

    assert done.returncode == 0
    said = done.stderr.decode()
    assert f"{job_id} cancelled" in said
    assert "left behind" in said
    assert not Path(f"/proc/{pid}").exists()
    assert not house.children("sleep\x0061")
    job = house.job(job_id)
    assert job["confirmed"] is True
    assert job["attempts"][0]["leftovers"] >= 1


def test_force_does_not_wait_for_the_grace(house: Installation) -> None:
    """The job is cancelled at once and unconfirmed; a slot is free; later its end is known."""
    job_id, pid = _stubborn(house, "forced", "--grace", "3s")

    done = house.cli("jobs", "cancel", "--force", job_id)

    assert "not confirmed" in done.stderr.decode()
    job = house.job(job_id)
    assert (job["state"], job["reason"]) == ("cancelled", "cancelled_by_user")
    wait_until(lambda: house.job(job_id)["confirmed"], timeout_s=30)
    assert not Path(f"/proc/{pid}").exists()
    assert house.job(job_id)["attempts"][0]["late_result"]["outcome"] == "cancelled"
    assert "late result: cancelled" in house.cli("jobs", "show", job_id).stdout.decode()


def test_a_cancel_is_heard_over_a_restart_of_the_server(home: Path) -> None:
    """Given while the server is being killed, it is delivered when the server is back."""
    with installed(home) as house:
        counting = Counting(house, "restart")
        [server] = house.children("server\0run")

        os.kill(server, signal.SIGKILL)
        done = house.cli("jobs", "cancel", "--wait", counting.job_id)

        assert done.returncode == 0, done.stderr.decode()
        assert "cancelled" in done.stderr.decode()
        assert not counting.alive()
