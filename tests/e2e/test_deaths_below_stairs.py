"""Kill what a person never sees: the processes that start the others, and those that own a job."""

import os
import signal
from pathlib import Path

from tests.e2e.test_restarts import Counting
from tests.support.installation import Installation, installed, processes_below
from tests.support.waiting import wait_until


def _pids(house: Installation, name: str) -> list[int]:
    """Return the processes of an installation that have that name in `ps`."""
    return [pid for pid in processes_below(str(house.home)) if _name(pid) == name]


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def test_a_killed_nursery_costs_no_line(home: Path) -> None:
    """Kill -9 of the process that forks workers: the next worker finds the job."""
    with installed(home) as house:
        counting = Counting(house, "nursery")
        [nursery] = _pids(house, "orch-nursery")
        [worker] = _pids(house, "orch-worker")

        os.kill(nursery, signal.SIGKILL)
        wait_until(lambda: _pids(house, "orch-worker") not in ([], [worker]), timeout_s=20)

        counting.finish()


def test_a_killed_launcher_ends_the_run_and_not_the_job(home: Path) -> None:
    """Kill -9 of the process that starts all others: the run asks to be started again, with 70."""
    with installed(home) as house:
        counting = Counting(house, "launcher")
        assert house.process is not None
        [launcher] = _pids(house, "orch-launcher")

        os.kill(launcher, signal.SIGKILL)

        assert house.process.wait(20) == 70
        assert counting.alive()
        house.start()
        counting.finish()


def test_a_killed_shim_takes_its_command_along(home: Path) -> None:
    """Kill -9 of the process that owns a job: nothing of it runs on, and it is tried again."""
    with installed(home) as house:
        counting = Counting(house, "shim")
        [shim] = _pids(house, "orch-shim")

        os.kill(shim, signal.SIGKILL)

        wait_until(lambda: not counting.alive())
        counting.gate.touch()
        job = house.wait_state(counting.job_id, "succeeded", "failed", timeout_s=60)
        assert [attempt["outcome"] for attempt in job["attempts"]] == ["lost", "succeeded"]
