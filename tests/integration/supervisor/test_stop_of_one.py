"""One worker is to have no process, while it has jobs."""

import os
import signal
from pathlib import Path
from typing import Literal

import pytest

from orchestrator.client.control import Control
from orchestrator.kernel.errors import JobsRunning
from orchestrator.protocol.machine import StopRequest, WorkerStatus
from tests.integration.supervisor.fleets import Machine, worker
from tests.support.waiting import wait_until

JOB = "job_" + "0" * 26


def _told(machine: Machine) -> WorkerStatus:
    control = Control(machine.state / "control.sock")
    return control.get("/v1/workers/a").read(WorkerStatus)


def _stop(machine: Machine, running: Literal["refuse", "finish", "interrupt"]) -> None:
    asked = StopRequest(running=running)
    Control(machine.state / "control.sock").post("/v1/workers/a:stop", asked)


def _machine(home: Path, jobs: int) -> Machine:
    machine = Machine(home)
    machine.save(worker("a", 0))
    (machine.folder(0) / "job").write_text(JOB)
    (machine.folder(0) / "jobs").write_text(str(jobs))
    return machine


def test_nobody_is_there_to_end_the_jobs(tmp_path: Path) -> None:
    """Its process was killed and no other can begin: no stop is said to have ended its jobs."""
    machine = _machine(tmp_path, jobs=1)
    with machine.run():
        machine.wait_for("a ready")
        wait_until(lambda: _told(machine).running_count == 1)
        (machine.folder(0) / "exit-code").write_text("77")
        os.kill(machine.pids()["a"][0], signal.SIGKILL)
        wait_until(lambda: _told(machine).state == "auth_failed")

        for running in ("refuse", "finish", "interrupt"):
            with pytest.raises(JobsRunning, match=f"has no process now.*{JOB}") as refused:
                _stop(machine, running)
            assert "orchestrator restart a" in str(refused.value.hint)
        assert _told(machine).state == "auth_failed"

        (machine.folder(0) / "exit-code").unlink()
        Control(machine.state / "control.sock").post("/v1/workers/a:restart")
        machine.wait_for("a ready", count=2)
        wait_until(lambda: _told(machine).state == "ready")
        _stop(machine, "interrupt")
        machine.wait_for('a heard {"do": "stop"}')
        wait_until(lambda: _told(machine).state == "stopped")


def test_a_refusal_says_that_there_are_more_jobs_than_it_names(tmp_path: Path) -> None:
    """A worker names a few of its jobs, and tells how many there are."""
    machine = _machine(tmp_path, jobs=70)
    with machine.run():
        machine.wait_for("a ready")
        wait_until(lambda: _told(machine).running_count == 70)

        with pytest.raises(JobsRunning, match=f"a runs {JOB} and 69 more$"):
            _stop(machine, "refuse")
