"""`orchestrator top` on a real terminal, with an orchestrator to look at; and without either."""

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.client.control import Control
from orchestrator.protocol.machine import MachineStatus
from tests.integration.supervisor.fleets import REPOSITORY, Machine, worker
from tests.support.fake_api import JOB_ID, answer, fake_api, job
from tests.support.processes import clean_environment
from tests.support.waiting import wait_until

PATIENCE_S = 15.0
ENTERED, LEFT = "\x1b[?1049h", "\x1b[?1049l"


class Watched:
    """`orchestrator top` on a pseudo-terminal of its own."""

    def __init__(self, machine: Machine, *, columns: int = 100, rows: int = 30, **env: str) -> None:
        self.seen = ""
        self._ours, self._theirs = pty.openpty()
        self.resize(columns, rows)
        self.before = termios.tcgetattr(self._theirs)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "orchestrator", "top", f"--state-dir={machine.state}"],
            stdin=self._theirs,
            stdout=self._theirs,
            stderr=self._theirs,
            cwd=REPOSITORY,
            env=clean_environment(machine.home, TERM="xterm-256color", LANG="C.UTF-8", **env),
            start_new_session=True,
            preexec_fn=_take_terminal,  # noqa: PLW1509 - it opens and closes a file, no more
        )

    def resize(self, columns: int, rows: int) -> None:
        """Give the window another size."""
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def press(self, keys: str) -> None:
        """Press keys."""
        os.write(self._ours, keys.encode())

    def expect(self, text: str) -> None:
        """Wait until a text is drawn from now on."""
        begin, deadline = len(self.seen), time.monotonic() + PATIENCE_S
        while text not in self.seen[begin:]:
            assert time.monotonic() < deadline, f"{text!r} is not in {self.seen[-3000:]!r}"
            self.read()

    def read(self) -> None:
        """See what is drawn within a moment."""
        if select.select([self._ours], [], [], 0.1)[0]:
            self.seen += os.read(self._ours, 65_536).decode(errors="replace")

    def end(self) -> int:
        """Return the exit code, and look whether the terminal is as it was."""
        deadline = time.monotonic() + PATIENCE_S
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"it goes on: {self.seen[-2000:]!r}"
            self.read()
        self.read()
        assert termios.tcgetattr(self._theirs) == self.before
        assert self.seen.rindex(LEFT) > self.seen.rindex(ENTERED)
        assert self.seen.rindex("\x1b[?25h") > self.seen.rindex("\x1b[?25l")
        return self.process.returncode

    def close(self) -> None:
        """Leave nothing behind."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._ours)
        os.close(self._theirs)


def _take_terminal() -> None:
    """Make standard input the terminal of this session, so that Ctrl-C reaches it."""
    os.close(os.open(os.ttyname(0), os.O_RDWR))


@contextlib.contextmanager
def _watching(machine: Machine, **more: object) -> Iterator[Watched]:
    watched = Watched(machine, **more)  # type: ignore[arg-type]
    try:
        yield watched
    finally:
        watched.close()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """Give a machine that runs two workers."""
    machine = Machine(tmp_path)
    machine.save(worker("api", 0), worker("web", 1))
    with machine.run() as daemon:
        daemon.wait_for("Running 2 workers ")
        yield machine


def _state(machine: Machine, name: str) -> str:
    told = Control(machine.state / "control.sock").get("/v1/status").read(MachineStatus)
    return next(one.state for one in told.workers if one.name == name)


def test_keys_act_on_the_chosen_worker(machine: Machine) -> None:
    """Down to the second one: pause, resume, restart, drain; the screen tells what came of it."""
    with _watching(machine) as top:
        top.expect("workers 2/2 ready")
        top.expect("q quit")

        top.press("\x1b[B")
        top.press("p")
        top.expect("pause web: ordered")
        wait_until(lambda: _state(machine, "web") == "paused")
        top.expect("orchestrator top")  # its reason
        assert _state(machine, "api") == "ready"
        top.press("p")
        wait_until(lambda: _state(machine, "web") == "ready")
        top.press("r")
        machine.wait_for("web ready", count=2)
        wait_until(lambda: _state(machine, "web") == "ready")
        top.press("k")
        top.press("d")
        wait_until(lambda: _state(machine, "api") == "drained")
        top.expect("drained")
        top.press("q")

        assert top.end() == 0


def test_a_key_cancels_the_chosen_job(machine: Machine) -> None:
    """Pressed twice, at the job's server; what is about a worker does nothing to a job."""
    (machine.folder(1) / "job").write_text(JOB_ID)
    with fake_api() as api, _watching(machine, **api.env) as top:
        api.on("POST", f"/api/v1/jobs/{JOB_ID}/cancel", answer(job("cancelled")))
        top.expect(JOB_ID)
        top.press("c")
        top.expect("choose a job")
        top.press("k")
        top.press("r")
        top.expect("choose a worker")

        top.press("c")
        top.expect(f"press c once more to cancel {JOB_ID}")
        assert api.asked == []
        top.press("c")
        top.expect(f"cancel {JOB_ID}: ordered")

        assert [one.path for one in api.asked] == [f"/api/v1/jobs/{JOB_ID}/cancel"]
        top.press("q")
        assert top.end() == 0


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_the_terminal_is_given_back_however_it_ends(
    machine: Machine, number: signal.Signals, code: int
) -> None:
    """Ctrl-C, a kill, a closed window."""
    with _watching(machine) as top:
        top.expect("workers 2/2 ready")
        if number == signal.SIGINT:
            top.press("\x03")
        else:
            top.process.send_signal(number)

        assert top.end() == code


def test_it_draws_what_happens_and_what_fits(machine: Machine) -> None:
    """A crash is on the screen in a moment; another size of the window is drawn at once."""
    with _watching(machine, NO_COLOR="1") as top:
        top.expect("workers 2/2 ready")
        assert "\x1b[32m" not in top.seen
        [pid] = machine.pids()["web"]
        os.kill(pid, signal.SIGKILL)
        top.expect("child.ended")

        top.resize(20, 6)
        top.process.send_signal(signal.SIGWINCH)
        top.expect("WORKER")
        frame = top.seen.rpartition("\x1b[H")[2]
        assert all(len(line) < 40 for line in frame.split("\r\n"))
        top.press("q")

        assert top.end() == 0


def test_an_orchestrator_that_goes_is_missed_and_seen_again(tmp_path: Path) -> None:
    """Whoever looks at it wants to see it come back."""
    machine = Machine(tmp_path)
    machine.save(worker("api", 0))
    with machine.run() as daemon:
        daemon.wait_for("Running 1 worker ")
        top = Watched(machine)
        top.expect("workers 1/1 ready")
    try:
        top.expect("no orchestrator runs here")
        with machine.run() as daemon:
            daemon.wait_for("Running 1 worker ")
            top.expect("q quit")
            top.press("q")
            assert top.end() == 0
    finally:
        top.close()


def test_without_a_terminal_it_is_told_once(machine: Machine) -> None:
    """A pipe gets the same as text, and programs get it as JSON."""
    argv = [sys.executable, "-m", "orchestrator", "top", f"--state-dir={machine.state}"]
    env = clean_environment(machine.home)

    done = subprocess.run(argv, cwd=REPOSITORY, env=env, capture_output=True, text=True, check=True)
    told = subprocess.run(
        [*argv, "--json"], cwd=REPOSITORY, env=env, capture_output=True, text=True, check=True
    )

    assert "\x1b" not in done.stdout
    assert "workers 2/2 ready" in done.stdout
    assert "child.ready" in done.stdout
    assert '"usage"' in told.stdout
