"""What a worker makes of a job: the command, its output, its end, exactly."""

import hashlib
import os
import sys
import time
from pathlib import Path

import psutil
import pytest

from orchestrator.kernel import host
from orchestrator.protocol.words import Outcome, Reason
from tests.support.fake_server import FakeServer
from tests.support.waiting import wait_until
from tests.support.workers import Workplace


@pytest.fixture
def server(place: Workplace) -> FakeServer:
    """Give the server of a running worker."""
    place.start()
    return place.server


def test_it_introduces_itself(place: Workplace) -> None:
    """A session names what the machine is, what it can run, and how much of it."""
    place.arguments = ["--tag", "gpu", "--tag", "os=linux"]
    place.start()

    session = place.server.session
    assert session is not None
    assert session.kinds == ["command", "delay"]
    assert (session.slots, session.tags, session.held) == (4, ["gpu", "os=linux"], [])
    facts = host.facts()
    assert session.host.cpu_count == os.cpu_count() == facts.cpu_count
    assert (session.host.hostname, session.host.memory_bytes) == (
        facts.hostname,
        facts.memory_bytes,
    )


def test_output_and_code_are_the_commands_own(server: FakeServer) -> None:
    """Both streams, byte for byte, and the exact exit code."""
    job = server.sh(r"printf 'a\000b\377\n'; echo oops >&2; exit 7")

    end = server.end(job)

    attempt = server.attempts[job, 1]
    assert attempt.stream("stdout") == b"a\0b\xff\n"
    assert attempt.stream("stderr") == b"oops\n"
    assert (end.outcome, end.reason, end.exit_code) == (Outcome.FAILED, Reason.EXIT_NONZERO, 7)
    assert attempt.started is not None
    assert attempt.started.pid
    assert end.started_at_us == attempt.started.at_us <= end.at_us


def test_a_signal_is_told_apart_from_a_code(server: FakeServer) -> None:
    """A command that dies of a signal has that signal and no code."""
    end = server.end(server.sh("kill -SEGV $$"))

    assert (end.outcome, end.reason) == (Outcome.FAILED, Reason.SIGNAL)
    assert (end.exit_code, end.signal) == (None, 11)


def test_a_delay_needs_no_process(server: FakeServer) -> None:
    """It succeeds with how long it took."""
    end = server.end(server.submit("delay", ms=30))

    assert end.outcome is Outcome.SUCCEEDED
    assert end.result is not None
    assert end.result["ok"] is True
    assert 30 <= end.result["took_ms"] < 3000


def test_a_delay_says_how_far_it_is(server: FakeServer) -> None:
    """Once a second, with a number that rises; by that it is not silent either."""
    job = server.submit("delay", ms=2_500, silence_s=1.5)

    end = server.end(job)

    told = server.attempt(job).progress
    assert end.outcome is Outcome.SUCCEEDED
    assert [word.seq for word in told] == [1, 2]
    assert [round((word.percent or 0) / 10) for word in told] == [4, 8]


@pytest.mark.parametrize(("progress_s", "words"), [(60.0, 1), (None, 0)])
def test_nobody_is_told_more_often_than_he_wants(
    place: Workplace, progress_s: float | None, words: int
) -> None:
    """The server says how often; an older one says nothing, and would not understand any."""
    place.server.progress_s = progress_s
    place.start()

    job = place.server.submit("delay", ms=2_500)

    assert place.server.end(job).outcome is Outcome.SUCCEEDED
    assert len(place.server.attempt(job).progress) == words


def test_a_delay_that_says_nothing_for_too_long_is_silent(server: FakeServer) -> None:
    """A limit that is shorter than its pauses ends it."""
    end = server.end(server.submit("delay", ms=60_000, silence_s=0.05))

    assert (end.outcome, end.reason) == (Outcome.TIMED_OUT, Reason.TIMEOUT_SILENCE)


def test_a_delay_keeps_its_timeout(server: FakeServer) -> None:
    """A wait that is longer than its job may take is a timeout like any other."""
    end = server.end(server.submit("delay", ms=60_000, timeout_s=0.05))

    assert (end.outcome, end.reason) == (Outcome.TIMED_OUT, Reason.TIMEOUT_RUN)


def test_a_timeout_ends_the_command(server: FakeServer) -> None:
    """A command over its time is ended and said to be."""
    end = server.end(server.submit(argv=["sleep", "60"], timeout_s=0.2, grace_s=0.1))

    assert (end.outcome, end.reason) == (Outcome.TIMED_OUT, Reason.TIMEOUT_RUN)


def test_the_command_sees_its_own_environment_and_no_secret(
    place: Workplace, server: FakeServer
) -> None:
    """An allow-list of the worker's, the job's own, its names, and nothing else."""
    job = server.submit(argv=["env"], env={"COLOUR": "blue", "LANG": "tlh"})
    server.end(job)

    output = server.attempts[job, 1].stream("stdout").decode()
    names = {line.split("=", 1)[0] for line in output.splitlines()}
    assert "COLOUR=blue\n" in output
    assert "LANG=tlh\n" in output
    assert f"ORCHESTRATOR_JOB_ID={job}\nORCHESTRATOR_ATTEMPT=1\n" in output
    allowed = {"PATH", "HOME", "LANG", "LC_ALL", "COLOUR"}
    assert names - allowed == {"ORCHESTRATOR_JOB_ID", "ORCHESTRATOR_ATTEMPT"}
    assert "secret_" not in output


def test_the_token_is_nowhere_to_be_read(place: Workplace, server: FakeServer) -> None:
    """No argument list, no environment and no log line of ours holds the worker's secret."""
    job = server.submit(argv=["sleep", "60"])
    server.running(job)
    secret = server.token.rpartition(":")[2].encode()
    place.worker.family.look()

    for process in psutil.Process(place.worker.pid).children(recursive=True):
        for name in ("cmdline", "environ"):
            assert secret not in Path(f"/proc/{process.pid}/{name}").read_bytes()
    server.cancel(job)
    server.end(job)
    assert secret.decode() not in place.worker.said


def test_standard_input_arrives(server: FakeServer) -> None:
    """What the job gives is read to its end; without it there is nothing to read."""
    given = server.submit(argv=["cat"], params={"argv": ["cat"], "stdin": "in\n" * 60_000})
    nothing = server.submit(argv=["cat"])

    assert server.end(given).outcome is Outcome.SUCCEEDED
    assert server.attempts[given, 1].stream() == b"in\n" * 60_000
    assert server.end(nothing).output_length == 0


def test_a_job_runs_in_the_workers_directory_or_below(place: Workplace, server: FakeServer) -> None:
    """`cwd` is relative to it."""
    (place.directory / "sub").mkdir()

    here, below = server.submit(argv=["pwd"]), server.submit(argv=["pwd"], cwd="sub")
    absolute = server.submit(argv=["pwd"], cwd=str(place.directory / "sub"))

    for job in (here, below, absolute):
        server.end(job)
    assert server.attempts[here, 1].stream().decode() == f"{place.directory}\n"
    assert server.attempts[below, 1].stream().decode() == f"{place.directory}/sub\n"
    assert server.attempts[absolute, 1].stream().decode() == f"{place.directory}/sub\n"


@pytest.mark.parametrize(
    "cwd", ["..", "/", "../..", "/proc/self/root", "out", "out/deeper", "x" * 300, "file"]
)
def test_a_directory_outside_is_refused(place: Workplace, server: FakeServer, cwd: str) -> None:
    """Whatever leads out of the worker's directory, or is none, fails by name and runs nothing."""
    (place.directory / "out").symlink_to("/usr")
    (place.directory / "file").touch()

    end = server.end(server.submit(argv=["touch", "ran"], cwd=cwd))

    assert (end.outcome, end.reason) == (Outcome.FAILED, Reason.SPAWN_ERROR)
    assert end.message is not None
    assert cwd in end.message
    assert not (place.directory / "ran").exists()


def test_a_missing_program_is_named(server: FakeServer) -> None:
    """The message says what was not found, and where it was looked for."""
    end = server.end(server.submit(argv=["no-such-program", "x"], env={"PATH": "/opt/nothing"}))

    assert (end.outcome, end.reason) == (Outcome.FAILED, Reason.SPAWN_ERROR)
    assert end.message is not None
    assert "no-such-program" in end.message
    assert "/opt/nothing" in end.message


def test_arguments_are_never_interpreted(server: FakeServer) -> None:
    """What a shell would expand arrives as it was written."""
    words = ["$(id)", ";id", "`id`", "a\nb", "-n", "*", "ünïcode"]
    job = server.submit(argv=[sys.executable, "-c", "import sys;print(sys.argv[1:])", *words])

    server.end(job)

    assert server.attempts[job, 1].stream().decode() == f"{words!r}\n"


@pytest.mark.parametrize(
    ("kind", "params", "words"),
    [
        ("command", {"argv": "ls"}, "argv"),
        ("command", {"script": "ls"}, "shell: true"),
        ("delay", {"ms": -1}, "ms"),
        ("baking", {}, "no kind 'baking'"),
    ],
)
def test_params_of_another_kind_are_refused(
    server: FakeServer, kind: str, params: dict[str, object], words: str
) -> None:
    """What the server let through is looked at again, and nothing is run on a guess."""
    end = server.end(server.submit(kind, params=params))

    assert (end.outcome, end.reason) == (Outcome.FAILED, Reason.INVALID_PARAMS)
    assert words in (end.message or "")


def test_output_is_live(server: FakeServer) -> None:
    """A piece without a newline is at the server in milliseconds, while the command goes on."""
    script = "import sys,time;sys.stdout.write(repr(time.time()));sys.stdout.flush();time.sleep(60)"
    job = server.submit(argv=[sys.executable, "-c", script])
    attempt = server.running(job)

    wait_until(attempt.stream, what="output arrived")

    assert attempt.arrivals[0] - float(attempt.stream()) < 0.1
    server.cancel(job)
    assert server.end(job).outcome is Outcome.CANCELLED


def test_much_output_arrives_whole(place: Workplace, server: FakeServer) -> None:
    """Sixteen mebibytes on both streams at once have the digest that the command computed."""
    size = 8 * 1024 * 1024
    script = f"""
import hashlib, os, random, threading
def flood(fd, seed):
    rnd, left, digest = random.Random(seed), {size}, hashlib.sha256()
    while left:
        piece = rnd.randbytes(min(left, 50_000 + rnd.randrange(50_000)))
        digest.update(piece)
        left -= len(piece)
        view = memoryview(piece)
        while view:
            view = view[os.write(fd, view):]
    open(f"digest{{fd}}", "w").write(digest.hexdigest())
threads = [threading.Thread(target=flood, args=(fd, fd)) for fd in (1, 2)]
[t.start() for t in threads]; [t.join() for t in threads]
"""
    job = server.submit(argv=[sys.executable, "-c", script])

    assert server.end(job).outcome is Outcome.SUCCEEDED

    attempt = server.attempts[job, 1]
    for fd, name in ((1, "stdout"), (2, "stderr")):
        data = attempt.stream(name)
        script_digest = (place.directory / f"digest{fd}").read_text()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (size, script_digest)
    assert server.named("output")


def test_slots_are_never_overfilled_and_always_used(place: Workplace) -> None:
    """With two slots two commands run at once, never three, and none is left waiting."""
    place.slots = 2
    place.start()
    server = place.server
    jobs = [server.sh("echo + >> log; sleep 0.05; echo - >> log") for _ in range(12)]

    for job in jobs:
        assert server.end(job).outcome is Outcome.SUCCEEDED

    running = most = 0
    for sign in (place.directory / "log").read_text().split():
        running += 1 if sign == "+" else -1
        most = max(most, running)
    assert most == 2


def test_many_jobs_share_few_calls(server: FakeServer) -> None:
    """One claim brings many attempts and one report many events."""
    for _ in range(400):
        server.submit("delay", ms=0)
    begun = time.monotonic()

    wait_until(lambda: sum(a.over for a in list(server.attempts.values())) == 400, timeout_s=15)

    assert time.monotonic() - begun < 10
    assert len(server.named("report")) < 400


def test_a_server_that_names_no_job_is_not_believed(place: Workplace, server: FakeServer) -> None:
    """An id becomes a part of paths: one that is none ends the worker before anything is done."""
    server.queue.append(
        {
            "kind": "delay",
            "params": {"ms": 0},
            "timeout_s": 1.0,
            "grace_s": 1.0,
            "job_id": "../../evil",
        }
    )
    with server.changed:
        server.changed.notify_all()

    assert place.worker.wait() == 70
    assert "../../evil" in place.worker.stderr


def test_a_path_that_is_not_text_is_told_and_survived(place: Workplace) -> None:
    """A worker whose PATH has a byte that is no UTF-8 reports what is missing, and goes on."""
    place.env["PATH"] = os.fsdecode(b"/nowhere/caf\xe9:") + os.defpath
    place.start()

    missing = place.server.end(place.server.submit(argv=["no-such-program"]))

    assert missing.reason is Reason.SPAWN_ERROR
    assert r"/nowhere/caf\udce9" in (missing.message or "")
    assert place.server.end(place.server.sh("exit 3")).exit_code == 3
    assert place.worker.returncode is None
