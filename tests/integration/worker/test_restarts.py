"""A worker is killed, and its successor: the command never notices, nothing runs twice."""

import os
import signal
from pathlib import Path

import psutil
import pytest

from orchestrator.protocol.wire import SessionRequest
from orchestrator.protocol.words import Outcome, Reason
from tests.support.fake_attempt import FakeAttempt
from tests.support.waiting import wait_until
from tests.support.workers import Workplace

COUNT = (
    "echo $$ >> pids; i=0; "
    "while [ ! -e gate ]; do i=$((i+1)); echo tick $i; sleep 0.01; done; echo end $i"
)


def _complete(attempt: FakeAttempt) -> bool:
    lines = attempt.stream().decode().splitlines()
    last = int(lines[-1].removeprefix("end "))
    return lines == [*(f"tick {n}" for n in range(1, last + 1)), f"end {last}"]


def test_a_successor_takes_up_what_runs(place: Workplace) -> None:
    """Kill -9 of the worker: same process, every line once, the exact code, one attempt."""
    place.start()
    server = place.server
    job = server.sh(COUNT + "; exit 5")
    attempt = server.running(job)
    wait_until(lambda: len(attempt.stream()) > 30)

    place.kill()
    place.start()

    assert server.session is not None
    assert [(one.job_id, one.phase) for one in server.session.held] == [(job, "running")]
    wait_until(lambda: "attempt.found" in place.worker.stderr)
    assert "attempt.started" not in place.worker.stderr
    (place.directory / "gate").touch()
    assert server.end(job).exit_code == 5
    assert _complete(attempt)
    assert (place.directory / "pids").read_text().count("\n") == 1
    assert (job, 2) not in server.attempts


def test_a_successor_asks_with_a_higher_number(place: Workplace) -> None:
    """A request of an earlier process that arrives late can be told, also from a restored spool."""
    for _ in range(3):
        place.start()
        place.kill()
    (place.state / "spool" / "openings").write_text("7")
    place.start()
    requests = [call.request for call in place.server.named("sessions")]
    numbers = [request.number for request in requests if isinstance(request, SessionRequest)]

    # A process whose call is lost repeats it, with its number.
    assert numbers == sorted(numbers)
    assert len(set(numbers)) == len(place.programs)
    assert numbers[0] > 0


def test_what_ended_while_nobody_looked_is_told(place: Workplace) -> None:
    """The command ends without worker and without server; its output and code arrive later."""
    place.start()
    server = place.server
    job = server.sh(COUNT + "; exit 9")
    attempt = server.running(job)
    wait_until(lambda: len(attempt.stream()) > 30)
    pid = int((place.directory / "pids").read_text())

    server.stop()
    place.kill()
    (place.directory / "gate").touch()
    wait_until(lambda: not psutil.pid_exists(pid), what="the command ended")
    server.start()
    place.start()

    assert server.end(job).exit_code == 9
    assert _complete(attempt)


def test_many_kills_lose_nothing(place: Workplace) -> None:
    """Kills in a row, at whatever moment, with four jobs running: each is exact at the end."""
    server = place.server
    jobs = [server.sh(f"exec >&1; {COUNT.replace('gate', f'gate{n}')}; exit {n}") for n in range(4)]
    for number in range(5):
        place.start()
        if number == 0:
            for job in jobs:
                server.running(job)
        place.kill()
    place.start()

    for number in range(4):
        (place.directory / f"gate{number}").touch()

    for number, job in enumerate(jobs):
        assert server.end(job).exit_code == number
        assert _complete(server.attempts[job, 1])
    assert (place.directory / "pids").read_text().count("\n") == 4


def test_an_end_whose_acknowledgement_was_lost_is_told_again(place: Workplace) -> None:
    """The server has it already and says so: the spool forgets, nothing is recorded twice."""
    place.start()
    server = place.server
    job = server.sh("echo once; sleep 0.2")
    attempt = server.running(job)
    wait_until(attempt.stream)
    server.fault("report", *["drop the answer"] * 50)
    wait_until(lambda: attempt.ended)
    place.kill()
    server.faults.clear()

    place.start().stop()
    place.start()

    assert server.session is not None
    assert server.session.held == []
    assert attempt.stream() == b"once\n"


def test_an_order_reaches_what_an_earlier_worker_started(place: Workplace) -> None:
    """A cancel after a restart ends the whole tree."""
    place.start()
    server = place.server
    job = server.sh("sleep 600 & sleep 600")
    attempt = server.running(job)
    place.kill()
    place.start()

    server.cancel(job)

    assert server.end(job).outcome is Outcome.CANCELLED
    assert attempt.ended is not None
    assert not [line for line in place.leftovers() if line.endswith(" sleep")]


def test_a_verdict_to_abandon_ends_it(place: Workplace) -> None:
    """What went to somebody else while the worker was away is ended, and never reported."""
    place.start()
    server = place.server
    job = server.sh("sleep 600")
    attempt = server.running(job)
    place.kill()
    attempt.ours, attempt.session_id = False, "somebody else's"

    place.start()

    wait_until(lambda: not [line for line in place.leftovers() if line.endswith(" sleep")])
    server.end(server.submit("delay", ms=0))
    assert attempt.ended is None
    place.worker.stop()
    place.start()
    assert server.session is not None
    assert server.session.held == []


def test_a_killed_shim_is_a_lost_attempt(place: Workplace) -> None:
    """Nobody knows how such a command ended, so nobody says: the attempt is lost, and gone."""
    place.start()
    server = place.server
    job = server.sh("echo here; sleep 600")
    attempt = server.running(job)
    wait_until(attempt.stream)
    assert attempt.started is not None
    shim = psutil.Process(attempt.started.pid).ppid()

    os.kill(shim, signal.SIGKILL)

    end = server.end(job)
    assert (end.outcome, end.reason) == (Outcome.LOST, Reason.WORKER_LOST)
    assert attempt.stream() == b"here\n"
    wait_until(lambda: not [line for line in place.leftovers() if line.endswith(" sleep")])
    assert server.end(server.sh("exit 4")).exit_code == 4


def test_a_second_worker_with_the_same_memory_is_refused(place: Workplace) -> None:
    """Two processes on one state directory would undo each other's work: the second ends with 5."""
    first = place.start()

    second = place.launch()

    assert second.wait() == 5
    assert str(first.pid) in second.stderr
    assert first.returncode is None


def test_a_restart_finds_its_memory_again(place: Workplace) -> None:
    """The spool's name is the same after a restart, and another one in another directory."""
    place.start()
    first = place.server.spool_id
    place.kill()
    place.start()

    assert place.server.spool_id == first


def test_a_slot_is_taken_by_what_runs_on(place: Workplace) -> None:
    """After a restart what was found counts: no more runs at once than there are slots."""
    place.slots = 1
    place.start()
    server = place.server
    first = server.sh("while [ ! -e gate ]; do sleep 0.01; done")
    server.running(first)
    second = server.submit("delay", ms=0)
    place.kill()

    place.start()
    beats = len(server.named("heartbeat"))
    wait_until(lambda: len(server.named("heartbeat")) > beats, what="it had time to claim")

    assert (second, 1) not in server.attempts
    (place.directory / "gate").touch()
    assert server.end(second).outcome is Outcome.SUCCEEDED


def _segments(place: Workplace) -> list[Path]:
    return sorted((place.state / "spool").glob("seg-*"))


def _settled_down(place: Workplace, count: int) -> None:
    """Wait until what the server has is removed, and the ledger's last word about it written."""
    wait_until(lambda: len(_segments(place)) <= count, what="acknowledged output was removed")


def test_output_the_server_has_is_not_sent_again(place: Workplace) -> None:
    """A log of megabytes is continued where the server stands, not from its beginning."""
    place.start()
    server = place.server
    script = "head -c 20000000 /dev/urandom | tee copy; while [ ! -e gate ]; do sleep 0.01; done"
    job = server.sh(script)
    attempt = server.running(job)
    wait_until(lambda: len(attempt.stream()) == 20_000_000)
    _settled_down(place, 1)
    place.kill()
    uploads = len(server.named("output"))

    place.start()
    (place.directory / "gate").touch()

    assert not server.end(job).output_final
    assert len(server.named("output")) == uploads
    assert attempt.stream() == (place.directory / "copy").read_bytes()


def test_a_long_log_whose_beginning_is_gone_arrives_whole(place: Workplace) -> None:
    """Killed when its first megabytes are acknowledged and removed: the rest follows, byte by byte.

    The successor finds a log that begins in its middle, and reads it before it has a session.
    """
    place.start()
    server = place.server
    script = "for n in 1 2 3; do head -c 9000000 /dev/urandom | tee copy$n; "
    script += "while [ ! -e gate$n ]; do sleep 0.01; done; done"
    job = server.sh(script)
    attempt = server.running(job)
    for number in (1, 2, 3):
        wait_until(lambda n=number: len(attempt.stream()) == n * 9_000_000)  # type: ignore[misc]  # a default binds it
        _settled_down(place, 1)
        server.stop()
        place.kill()
        (place.directory / f"gate{number}").touch()
        if number < 3:
            copy = place.directory / f"copy{number + 1}"
            wait_until(lambda c=copy: c.exists() and c.stat().st_size == 9_000_000)  # type: ignore[misc]  # a default binds it
        server.start()
        place.start()

    assert not server.end(job).output_final
    copies = [(place.directory / f"copy{number}").read_bytes() for number in (1, 2, 3)]
    assert attempt.stream() == b"".join(copies)
    assert (job, 2) not in server.attempts


def test_state_that_is_open_to_others_is_refused(place: Workplace) -> None:
    """A token that others can read is not used, and the message says how to close it."""
    token = Path(place.home / "token")
    token.chmod(0o644)

    worker = place.launch()

    assert worker.wait() == 78
    assert "chmod 600" in worker.stderr
    assert place.server.token not in worker.stderr


@pytest.mark.parametrize("text", ["", "pak_wrong", "machine_x:worker_y:secret_z", "\xff" * 9000])
def test_what_is_no_token_is_refused_unshown(place: Workplace, text: str) -> None:
    """A file with something else ends the worker with 78 and is not repeated in the log."""
    place.write_token(text)

    worker = place.launch()

    assert worker.wait() == 78
    assert "holds no worker token" in worker.stderr
    assert not text or text not in worker.stderr


def test_a_killed_launcher_ends_the_worker_in_a_sentence(place: Workplace) -> None:
    """Nothing can be started any more: it says so without a trace, and what runs goes on."""
    place.start()
    running = place.server.sh("while [ ! -e gate ]; do sleep 0.01; done; exit 4")
    place.server.running(running)
    [launcher] = psutil.Process(place.worker.pid).children()

    launcher.kill()
    wait_until(lambda: launcher.status() == psutil.STATUS_ZOMBIE)
    place.server.sh("true")

    assert place.worker.wait() == 70
    assert "worker.failed" in place.worker.stderr
    assert "Traceback" not in place.worker.stderr
    place.start()
    (place.directory / "gate").touch()
    assert place.server.end(running).exit_code == 4
