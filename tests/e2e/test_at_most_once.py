"""A job that may be started only once is started once, whatever is killed around it."""

import os
import signal
from pathlib import Path

from tests.e2e.test_restarts import Counting, worker_pid
from tests.support.installation import installed
from tests.support.waiting import wait_until


def test_it_runs_on_through_the_death_of_everything_of_ours(home: Path) -> None:
    """Kill the worker, then all of it: the same process goes on, and its end is the job's."""
    with installed(home) as house:
        counting = Counting(house, "once", "--at-most-once")
        worker = worker_pid(house)

        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: worker_pid(house) not in (0, worker), timeout_s=20)
        house.kill()
        wait_until(lambda: not house.children("server\0run"), timeout_s=20)
        house.start()

        counting.finish()


def test_interrupted_it_fails_and_is_never_tried_again(home: Path) -> None:
    """The second Ctrl-C ends it for good, and the next start leaves it alone."""
    with installed(home) as house:
        counting = Counting(house, "interrupted", "--at-most-once")
        assert house.process is not None

        house.process.send_signal(signal.SIGINT)
        wait_until(lambda: b"drain" in house.log.read_bytes().lower(), timeout_s=10)
        house.process.send_signal(signal.SIGINT)
        assert house.process.wait(30) == 0
        house.start()

        job = house.job(counting.job_id)
        assert (job["state"], job["reason"]) == ("failed", "interrupted")
        assert [attempt["outcome"] for attempt in job["attempts"]] == ["preempted"]


def test_a_killed_shim_leaves_an_unknown_outcome(home: Path) -> None:
    """Nobody knows how the command ended, so the job says so and is not started again."""
    with installed(home) as house:
        counting = Counting(house, "shim", "--at-most-once")
        shim = int(Path(f"/proc/{counting.pid}/stat").read_text().rsplit(")", 1)[1].split()[1])

        os.kill(shim, signal.SIGKILL)

        job = house.wait_state(counting.job_id, "failed")
        assert job["reason"] == "outcome_unknown"
        assert len(job["attempts"]) == 1
        assert not counting.alive()
