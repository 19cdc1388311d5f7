"""How a local run ends: once, twice, three times, and by what goes wrong."""

import contextlib
import os
import signal
import socket
import subprocess
import urllib.request
from pathlib import Path

import pytest

from tests.integration.supervisor.runs import Run, prepared, run
from tests.support.waiting import wait_until

STOP = 'server heard {"do": "stop"}'


def _busy(here: Run) -> None:
    """Let the worker be in the middle of a job."""
    here.wait_until_ready()
    (here.state / "busy").touch()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_drains_and_stops_in_reverse_order(tmp_path: Path, number: int) -> None:
    """The worker finishes, then the server goes, and the run ends well."""
    with run(tmp_path) as here:
        here.wait_until_ready()

        here.process.signal(number)

        assert here.process.wait() == 0
    assert here.journal()[-3:] == ['worker heard {"do": "drain"}', "worker ends", STOP]


def test_the_second_signal_interrupts(tmp_path: Path) -> None:
    """A worker that drains too long for somebody's patience is told to stop."""
    with run(tmp_path) as here:
        _busy(here)
        here.process.signal(signal.SIGINT)
        here.wait_for('worker heard {"do": "drain"}')
        assert here.process.returncode is None

        here.process.signal(signal.SIGINT)

        assert here.process.wait() == 0
    assert here.journal()[-3:] == ['worker heard {"do": "stop"}', "worker ends", STOP]


def test_quit_interrupts_at_once(tmp_path: Path) -> None:
    """Who has no time to drain says so with one signal."""
    with run(tmp_path) as here:
        _busy(here)

        here.process.signal(signal.SIGQUIT)

        assert here.process.wait() == 0
    assert 'worker heard {"do": "drain"}' not in here.journal()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_third_signal_leaves_at_once(tmp_path: Path, number: int, code: int) -> None:
    """Although the worker is stopped dead, the run ends, and all of it is gone but the shim."""
    with run(tmp_path) as here:
        _busy(here)
        worker, shim = here.pid_of("orch-worker"), here.pid_of("orch-shim")
        os.kill(worker, signal.SIGSTOP)

        here.process.signal(number)
        here.process.wait_for("run.draining")
        here.process.signal(number)
        here.process.wait_for("run.interrupting")
        here.process.signal(number)

        wait_until(lambda: here.process.returncode == code)
        assert Path(f"/proc/{shim}").exists()
        with contextlib.suppress(ProcessLookupError):  # its nursery may have been faster
            os.kill(worker, signal.SIGCONT)
        here.release_shims()
        wait_until((here.state / "record").exists)


def test_a_drain_is_bounded(tmp_path: Path) -> None:
    """When its time is over the jobs are interrupted, and the exit code says so."""
    with run(tmp_path, drain_timeout_s=0.2) as here:
        _busy(here)

        here.process.signal(signal.SIGTERM)

        assert here.process.wait() == 6
    assert here.journal()[-4:] == [
        'worker heard {"do": "drain"}',
        'worker heard {"do": "stop"}',
        "worker ends",
        STOP,
    ]


def test_a_stop_during_the_start_is_obeyed(tmp_path: Path) -> None:
    """Nothing is started only to be stopped, and the run ends well."""
    with run(tmp_path) as here:
        here.process.wait_for("child.started")

        here.process.signal(signal.SIGTERM)

        assert here.process.wait() == 0


def test_a_closed_terminal_leaves_no_ghost(tmp_path: Path) -> None:
    """Although nobody can be told anything any more, everything is stopped in order."""
    pipe = subprocess.PIPE
    argv, environment = prepared(tmp_path)
    with subprocess.Popen(argv, env=environment, stdout=pipe, stderr=pipe) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert any(b"jobs submit" in line for line in process.stdout)
        process.stdout.close()
        process.stderr.close()

        process.send_signal(signal.SIGHUP)

        assert process.wait(15) == 0
    journal = (tmp_path / "data/journal").read_text().splitlines()
    assert journal[-3:] == ['worker heard {"do": "drain"}', "worker ends", STOP]


def test_a_launch_that_hangs_does_not_keep_anybody(tmp_path: Path) -> None:
    """Who stops a run that waits for an answer does not have to wait for it, too."""
    (tmp_path / "data/server").mkdir(parents=True)
    (tmp_path / "data/server/silent").touch()
    with run(tmp_path) as here:
        here.process.wait_for("child.ready")

        here.process.signal(signal.SIGTERM)

        assert here.process.wait(timeout_s=10) == 0


def test_a_killed_worker_is_started_again(tmp_path: Path) -> None:
    """The server does not notice, and the job's shim goes on."""
    with run(tmp_path) as here:
        here.wait_until_ready()
        here.wait_for("server heard")  # how to write its log, and nothing after that
        shim = here.pid_of("orch-shim")

        os.kill(here.pid_of("orch-worker"), signal.SIGKILL)

        here.wait_for("worker ready", count=2)
        assert Path(f"/proc/{shim}").exists()
        assert len([line for line in here.journal() if line.startswith("server heard")]) == 1
        here.release_shims()


def test_a_killed_server_is_started_again(tmp_path: Path) -> None:
    """The worker stays as it is."""
    with run(tmp_path) as here:
        here.wait_until_ready()

        os.kill(here.pid_of("small_server"), signal.SIGKILL)

        here.wait_for("server ready", count=2)
        assert [line for line in here.journal() if line.startswith("worker")] == [
            line for line in here.journal() if line.startswith("worker ready")
        ]
        here.process.signal(signal.SIGINT)
        assert here.process.wait() == 0


def test_nobody_is_refused_while_the_server_is_started_again(tmp_path: Path) -> None:
    """The supervisor holds the address: who calls meanwhile waits, and is answered."""
    with run(tmp_path) as here:
        here.wait_until_ready()
        host, port = here.told()["server_url"].removeprefix("http://").split(":")
        os.kill(here.pid_of("small_server"), signal.SIGKILL)
        calls = 0

        def answered() -> bool:
            nonlocal calls
            with socket.create_connection((host, int(port)), timeout=5):
                calls += 1
            return sum(line.startswith("server ready") for line in here.journal()) == 2

        wait_until(answered, what="the server is back, and nobody was refused")
        assert calls > 1
        with urllib.request.urlopen(f"http://{host}:{port}/", timeout=5) as answer:
            assert answer.status == 200


def test_a_server_that_dies_while_the_worker_drains_is_started_again(tmp_path: Path) -> None:
    """The worker needs it to report what its jobs came to."""
    with run(tmp_path) as here:
        _busy(here)
        here.process.signal(signal.SIGINT)
        here.wait_for('worker heard {"do": "drain"}')

        os.kill(here.pid_of("small_server"), signal.SIGKILL)

        here.wait_for("server ready", count=2)
        here.process.signal(signal.SIGINT)
        assert here.process.wait() == 0


def test_a_killed_nursery_is_replaced_with_its_worker(tmp_path: Path) -> None:
    """The old worker is gone before the new one begins."""
    with run(tmp_path) as here:
        here.wait_until_ready()
        worker = here.pid_of("orch-worker")

        os.kill(here.pid_of("orch-nursery"), signal.SIGKILL)

        here.wait_for("worker ready", count=2)
        assert not Path(f"/proc/{worker}").exists()
        here.release_shims()


def test_a_killed_launcher_ends_the_run_in_order(tmp_path: Path) -> None:
    """Worker and server leave, the shim goes on, and the code asks to be started again."""
    with run(tmp_path) as here:
        here.wait_until_ready()
        shim = here.pid_of("orch-shim")

        os.kill(here.pid_of("orch-launcher"), signal.SIGKILL)

        wait_until(lambda: here.process.returncode == 70)
        assert "launcher.died" in here.process.stderr
        assert set(here.journal()[-2:]) == {"worker heard the end", "server heard the end"}
        assert Path(f"/proc/{shim}").exists()
        here.release_shims()
        wait_until(lambda: not Path(f"/proc/{shim}").exists())


def test_a_killed_run_leaves_only_what_a_job_needs(tmp_path: Path) -> None:
    """Launcher, nursery, worker and server end; the shim finishes; the next run can start."""
    with run(tmp_path) as here:
        here.wait_until_ready()
        names = ("orch-launcher", "orch-nursery", "orch-worker", "small_server")
        pids = [here.pid_of(name) for name in names]
        shim = here.pid_of("orch-shim")

        here.process.signal(signal.SIGKILL)

        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
        assert Path(f"/proc/{shim}").exists()
        with run(tmp_path) as again:
            again.wait_until_ready()
        here.release_shims()
        wait_until(lambda: not Path(f"/proc/{shim}").exists())


@pytest.mark.parametrize("name", ["orch-launcher", "orch-nursery"])
def test_whoever_is_stopped_among_the_forkers_does_not_hold_up_the_end(
    tmp_path: Path, name: str
) -> None:
    """They are woken: everything ends in order, and it is told what was the matter."""
    with run(tmp_path) as here:
        here.wait_until_ready()
        os.kill(here.pid_of(name), signal.SIGSTOP)

        here.process.signal(signal.SIGTERM)

        assert here.process.wait(timeout_s=20) == 0
        assert "launcher.stalled" in here.process.stderr
    assert here.journal()[-3:] == ['worker heard {"do": "drain"}', "worker ends", STOP]


def test_a_worker_is_started_again_although_the_launcher_was_stopped(tmp_path: Path) -> None:
    """Nobody asked for an end: what does not answer is woken all the same."""
    with run(tmp_path) as here:
        here.wait_until_ready()
        os.kill(here.pid_of("orch-launcher"), signal.SIGSTOP)

        os.kill(here.pid_of("orch-worker"), signal.SIGKILL)

        here.wait_for("worker ready", count=2)
        here.release_shims()


def test_a_worker_that_had_to_be_killed_is_no_good_end(tmp_path: Path) -> None:
    """Its jobs may still run: the exit code and a sentence say so."""
    with run(tmp_path, worker_stop_s=0.5) as here:
        (here.state / "deaf").touch()
        here.wait_until_ready()

        here.process.signal(signal.SIGQUIT)

        wait_until(lambda: here.process.returncode == 6)
        here.release_shims()
        assert here.process.wait() == 6
        assert "may still run" in here.process.stdout
