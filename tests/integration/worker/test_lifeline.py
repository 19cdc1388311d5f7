"""A worker below a supervisor: forked in a nursery, with orders by its lifeline."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from orchestrator.kernel.files import Lock
from orchestrator.protocol.words import Outcome
from tests.support.processes import Program, clean_environment, program, python
from tests.support.waiting import wait_until
from tests.support.workers import Workplace

DRAIN, STOP, HANG_UP = signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP


@pytest.fixture
def parent(place: Workplace) -> Iterator[Program]:
    """Give a worker's parent; the worker has a session."""
    settings = {
        "name": "local",
        "server_url": place.server.url,
        "token_file": str(place.home / "token"),
        "working_directory": str(place.directory),
        "state_dir": str(place.state),
        "slots": 2,
        "tags": ["here"],
    }
    env = clean_environment(place.home, PYTHONPATH=str(Path.cwd()))
    words = python("-m", "tests.integration.worker.nursed", json.dumps(settings))
    with program(*words, env=env) as parent:
        parent.wait_for('news {"state": "ready"}')
        yield parent


def test_it_says_when_it_is_ready(place: Workplace, parent: Program) -> None:
    """Ready means that the server knows it, and that it can be given work."""
    assert place.server.session is not None
    assert place.server.session.tags == ["here"]
    assert place.server.end(place.server.sh("exit 2")).exit_code == 2


def test_its_name_is_that_of_a_worker(place: Workplace, parent: Program) -> None:
    """Who looks at the process list finds it, and finds no secret there."""
    pid = int(parent.stdout.split()[1])

    assert psutil.Process(pid).name() == "orch-worker"
    assert place.server.token.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()


def test_drain_finishes_what_runs(place: Workplace, parent: Program) -> None:
    """It ends with 0 after its last job."""
    job = place.server.sh("while [ ! -e gate ]; do sleep 0.01; done")
    place.server.running(job)

    parent.signal(DRAIN)
    parent.wait_for("drain_ordered")
    (place.directory / "gate").touch()

    assert place.server.end(job).outcome is Outcome.SUCCEEDED
    parent.wait_for("exit 0 None")


def test_stop_interrupts_what_runs(place: Workplace, parent: Program) -> None:
    """It ends with 0, and the job goes back to the queue."""
    job = place.server.sh("sleep 600")
    place.server.running(job)

    parent.signal(STOP)

    assert place.server.end(job).outcome is Outcome.PREEMPTED
    parent.wait_for("exit 0 None")


def test_a_worker_without_a_parent_leaves_its_jobs_running(
    place: Workplace, parent: Program
) -> None:
    """A lost lifeline ends it at once, with a code that asks for another; the job never notices."""
    job = place.server.sh("echo one; while [ ! -e gate ]; do sleep 0.01; done; echo two")
    attempt = place.server.running(job)
    assert attempt.started is not None
    pid = attempt.started.pid
    assert pid is not None

    parent.signal(HANG_UP)
    parent.wait_for("exit 75 None")
    assert psutil.pid_exists(pid)

    place.start()
    (place.directory / "gate").touch()
    assert place.server.end(job).outcome is Outcome.SUCCEEDED
    assert attempt.stream() == b"one\ntwo\n"


def test_a_killed_parent_takes_the_worker_and_not_the_job(
    place: Workplace, parent: Program
) -> None:
    """Kill -9 of the supervisor ends everything of ours but the command and its shim."""
    job = place.server.sh("while [ ! -e gate ]; do sleep 0.01; done; exit 8")
    attempt = place.server.running(job)
    assert attempt.started is not None
    worker = int(parent.stdout.split()[1])

    parent.signal(signal.SIGKILL)
    wait_until(lambda: not psutil.pid_exists(worker), what="the worker has gone")

    assert psutil.pid_exists(attempt.started.pid or 0)
    place.start()
    (place.directory / "gate").touch()
    assert place.server.end(job).exit_code == 8


def test_nothing_keeps_a_worker_without_a_parent(place: Workplace, parent: Program) -> None:
    """A thread that is busy with an input's folder delays the next worker by seconds, not more."""
    place.server.sh("true")
    first = wait_until(lambda: next(iter(place.server.attempts.values()), None))
    assert first is not None
    number = int(first.job_id.removeprefix("job_"))
    stuck = place.state / "workspaces" / f".new-job_{number + 1:026}-1"
    stuck.mkdir(parents=True)
    os.mkfifo(stuck / "marker")  # who writes to it waits for a reader
    worker = psutil.Process(int(parent.stdout.split()[1]))
    threads = worker.num_threads()
    inputs = [{"file": place.server.store(b"x"), "name": "x"}]
    assert place.server.sh("true", inputs=inputs) == f"job_{number + 1:026}"
    wait_until(lambda: place.server.attempts.get((f"job_{number + 1:026}", 1)))
    wait_until(lambda: worker.num_threads() > threads or _waits_for_a_reader(worker))

    parent.signal(HANG_UP)

    parent.wait_for("exit 75 None", timeout_s=6)
    with Lock(place.state / "spool" / "lock").take("a test"):
        pass


def _waits_for_a_reader(process: psutil.Process) -> bool:
    """Tell whether a thread of it is opening a pipe."""
    tasks = Path(f"/proc/{process.pid}/task").glob("*/wchan")
    return any("fifo" in task.read_text() for task in tasks)


def test_wrong_settings_are_refused_with_a_code(place: Workplace) -> None:
    """A directory that is not there ends the worker with 78 and says what to do."""
    settings = {
        "server_url": place.server.url,
        "token_file": str(place.home / "token"),
        "working_directory": str(place.home / "nowhere"),
        "state_dir": str(place.state),
    }
    env = clean_environment(place.home, PYTHONPATH=str(Path.cwd()))
    words = python("-m", "tests.integration.worker.nursed", json.dumps(settings))

    with program(*words, env=env) as parent:
        parent.wait_for("exit 78 None")

        assert "nowhere does not exist" in parent.stderr
