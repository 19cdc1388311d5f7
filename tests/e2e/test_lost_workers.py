"""Workers that are not heard of: seen as offline, replaced, and refused when they come back."""

import os
import signal
from pathlib import Path

import pytest

from tests.e2e.test_restarts import Counting, worker_pid
from tests.support.installation import Installation, installed
from tests.support.waiting import wait_until


def _show(house: Installation, job_id: str) -> str:
    return house.cli("jobs", "show", job_id).stdout.decode()


@pytest.mark.timeout(240)
def test_a_frozen_worker_is_offline_then_replaced_then_refused(home: Path) -> None:
    """Frozen beyond its lease and thawed: its late report is kept aside, its processes are gone."""
    with installed(home) as house:
        counting = Counting(house, "frozen")
        worker, first = worker_pid(house), counting.pid
        assert house.process is not None
        # A supervisor that goes on would replace a worker that says nothing, and the job with it
        # would never be lost.
        frozen = (house.process.pid, worker)

        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        try:
            wait_until(lambda: house.job(counting.job_id)["worker_offline"], timeout_s=60)
            assert "running, worker offline" in house.cli("jobs", "list").stdout.decode()
            assert "running, worker offline" in _show(house, counting.job_id)
            wait_until(
                lambda: house.job(counting.job_id)["attempts"][0]["outcome"] == "lost",
                timeout_s=60,
            )
            assert counting.alive()  # nothing of ours can reach it
        finally:
            for pid in reversed(frozen):
                os.kill(pid, signal.SIGCONT)

        wait_until(lambda: house.job(counting.job_id)["attempts"][0]["late_result"], timeout_s=30)
        assert not Path(f"/proc/{first}").exists()
        wait_until(lambda: int(counting.pid_file.read_text() or first) != first, timeout_s=60)
        counting.gate.touch()
        job = house.wait_state(counting.job_id, "succeeded")

    assert [attempt["outcome"] for attempt in job["attempts"]] == ["lost", "succeeded"]
    assert job["attempts"][0]["late_result"]["outcome"] == "cancelled"


def test_the_story_of_a_job_tells_of_every_death(home: Path) -> None:
    """Server and worker are killed while it runs: `jobs show` says so, in order."""
    with installed(home) as house:
        counting = Counting(house, "story")
        [server], worker = house.children("server\0run"), worker_pid(house)

        os.kill(server, signal.SIGKILL)
        wait_until(lambda: house.children("server\0run") not in ([], [server]), timeout_s=20)
        wait_until(lambda: house.cli("jobs", "list").returncode == 0, timeout_s=30)
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: "found it" in _show(house, counting.job_id), timeout_s=30)
        counting.finish()
        shown = _show(house, counting.job_id)

    told_at = [
        shown.index(words)
        for words in (
            "submitted by",
            "claimed by",
            f"started (pid {counting.pid} on ",
            "the server was started again",
            "its worker was started again and has found it",
            "ended: succeeded",
            "the job is succeeded",
        )
    ]
    assert told_at == sorted(told_at)
