"""Whatever is killed or stopped, nothing is lost and nothing is left behind."""

import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError

import pytest

from tests.support.installation import Installation, installed
from tests.support.waiting import wait_until

COUNTING = (
    "echo $$ > {pid}; i=0; while [ ! -e {gate} ]; "
    "do i=$((i+1)); echo tick $i; sleep 0.02; done; echo end $i"
)

TAKEN_UP_S = 5.0
TRIES = 5


class Counting:
    """A job that prints numbered lines until its gate opens; every line is expected once."""

    def __init__(self, house: Installation, name: str, *options: str) -> None:
        self.house = house
        self.pid_file = house.home / f"{name}.pid"
        self.gate = house.home / f"{name}.gate"
        script = COUNTING.format(pid=self.pid_file, gate=self.gate)
        self.job_id = house.submit("--name", name, *options, "--", "sh", "-c", script)
        wait_until(
            lambda: self.pid_file.exists() and self.pid_file.read_text().strip() != "",
            timeout_s=20,
        )
        self.pid = int(self.pid_file.read_text())

    def alive(self) -> bool:
        """Tell whether the very process that was started still runs."""
        return Path(f"/proc/{self.pid}").exists()

    def finish(self) -> None:
        """Open the gate; expect one attempt, every line once and in order, and success."""
        assert self.alive()
        self.gate.touch()
        job = self.house.wait_state(self.job_id, "succeeded", "failed", timeout_s=60)
        lines = self.house.cli("jobs", "logs", self.job_id).stdout.decode().splitlines()
        last = int(lines[-1].removeprefix("end "))
        assert lines == [*(f"tick {n}" for n in range(1, last + 1)), f"end {last}"]
        assert (job["state"], job["attempt"], job["exit_code"]) == ("succeeded", 1, 0)
        assert job["attempts"][0]["output_missing_bytes"] == 0

    def output_bytes(self) -> int:
        """Return how much output the server has; nothing while there is no server."""
        try:
            path = f"/api/v1/jobs/{self.job_id}/output/raw?stream=both"
            with self.house.get(path) as answer:
                return len(answer.read())
        except (URLError, OSError):
            return 0


@pytest.fixture
def needle(request: pytest.FixtureRequest) -> str:
    """Return a piece of the command line of the process that a test kills."""
    return str(request.param)


def test_a_second_start_finds_everything_again(home: Path) -> None:
    """Jobs, output and keys of the first start are there after a stop and a new start."""
    with installed(home) as house:
        job_id = house.submit("--", "echo", "remember me")
        house.wait_state(job_id, "succeeded")
        key = house.key

        assert house.stop() == 0
        assert not house.leftovers()
        house.start()

        assert house.key == key
        assert house.job(job_id)["state"] == "succeeded"
        assert house.cli("jobs", "logs", job_id).stdout == b"remember me\n"
        assert len(house.json("workers", "list")["items"]) == 1


def test_a_killed_server_is_back_and_the_job_never_noticed(home: Path) -> None:
    """Kill -9 of the server: it is started again, and the running job's output is complete."""
    with installed(home) as house:
        counting = Counting(house, "server")
        [server] = house.children("server\0run")

        os.kill(server, signal.SIGKILL)
        wait_until(lambda: house.children("server\0run") not in ([], [server]), timeout_s=20)
        wait_until(lambda: house.cli("jobs", "list").returncode == 0, timeout_s=20)

        counting.finish()


def test_a_killed_worker_finds_its_job_again(home: Path) -> None:
    """Kill -9 of the worker: its successor takes up the same process, and loses no line."""
    with installed(home) as house:
        counting = Counting(house, "worker")
        worker = worker_pid(house)

        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: worker_pid(house) not in (0, worker), timeout_s=20)

        counting.finish()


def test_a_killed_supervisor_leaves_the_job_running(home: Path) -> None:
    """Kill -9 of the supervisor: everything of ours ends but the job; the next start adopts it."""
    with installed(home) as house:
        counting = Counting(house, "supervisor")

        house.kill()
        wait_until(lambda: not house.children("server\0run"), timeout_s=20)
        assert counting.alive()
        house.start()

        counting.finish()


def test_a_running_job_is_taken_up_again_within_five_seconds(
    home: Path, record_property: Callable[[str, object], None]
) -> None:
    """From the start of the next supervisor until the server hears the same process's next line.

    It is tried five times at most, and the best one counts: other programs use the machine as well,
    and where they leave little of it, three times that long is still no loss.
    """
    took_s: list[float] = []
    with installed(home) as house:
        counting = Counting(house, "soon")
        while len(took_s) < TRIES and min(took_s, default=TAKEN_UP_S) >= TAKEN_UP_S:
            wait_until(counting.output_bytes, timeout_s=20)
            house.kill()
            wait_until(lambda: not house.children("server\0run"), timeout_s=20)

            began = time.monotonic()
            house.launch()
            before = wait_until(counting.output_bytes, timeout_s=30)
            wait_until(lambda told=before: counting.output_bytes() > told, timeout_s=30)  # type: ignore[misc]
            took_s.append(time.monotonic() - began)

        counting.finish()
    record_property("figures", f"a running job is taken up again after {min(took_s):.1f} s")
    assert min(took_s) < 3 * TAKEN_UP_S, took_s


@pytest.mark.parametrize("slots", [1, 2])
def test_stopping_lets_jobs_finish_and_leaves_nothing(home: Path, slots: int) -> None:
    """The first Ctrl-C waits for the running job, also when no slot is free; nothing is left."""
    with installed(home, f"--slots={slots}") as house:
        counting = Counting(house, "drain")
        assert house.process is not None

        house.process.send_signal(signal.SIGINT)
        wait_until(lambda: b"drain" in house.log.read_bytes().lower(), timeout_s=10)
        assert counting.alive()
        counting.gate.touch()

        assert house.process.wait(20) == 0
        assert not house.leftovers()
        house.start()
        assert house.job(counting.job_id)["state"] == "succeeded"


def test_stopping_twice_sends_the_job_back_to_the_queue(home: Path) -> None:
    """The second Ctrl-C interrupts the job; it is tried again at the next start."""
    with installed(home) as house:
        counting = Counting(house, "interrupt")
        assert house.process is not None

        house.process.send_signal(signal.SIGINT)
        wait_until(lambda: b"drain" in house.log.read_bytes().lower(), timeout_s=10)
        house.process.send_signal(signal.SIGINT)

        assert house.process.wait(30) == 0
        assert not house.leftovers()
        counting.gate.touch()
        house.start()
        job = house.wait_state(counting.job_id, "succeeded")
        assert [attempt["outcome"] for attempt in job["attempts"]] == ["preempted", "succeeded"]


def test_a_port_that_is_taken_is_named(home: Path) -> None:
    """A start on a busy port ends with 73 and says which port and what to do."""
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        house = Installation(home, port=busy.getsockname()[1])
        house.launch()
        assert house.process is not None

        assert house.process.wait(30) == 73

    assert str(house.port) in house.log.read_text()
    assert not house.leftovers()


def test_a_second_supervisor_is_refused(home: Path) -> None:
    """Two supervisors on one data directory: the second ends with 5 and names the first."""
    with installed(home) as house:
        assert house.process is not None
        second = house.cli("run", "--local", f"--listen=127.0.0.1:{house.port}")

        assert second.returncode == 5
        assert str(house.process.pid).encode() in second.stderr + second.stdout


def worker_pid(house: Installation) -> int:
    listed = house.cli("workers", "list", "--json")
    if listed.returncode != 0:
        return 0
    pids = [
        int(stat.parent.name)
        for stat in Path("/proc").glob("[0-9]*/comm")
        if stat.parent.name.isdigit() and _is_worker(stat, house)
    ]
    return pids[0] if pids else 0


def _is_worker(comm: Path, house: Installation) -> bool:
    try:
        environ = (comm.parent / "environ").read_bytes()
        return comm.read_text().startswith("orch-worker") and str(house.home).encode() in environ
    except OSError:
        return False
