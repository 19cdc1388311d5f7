"""The server is away, loses answers, or refuses: jobs go on, and everything arrives once."""

import time
from itertools import pairwise

import pytest

from orchestrator.protocol.limits import CLAIM_WAIT_S
from orchestrator.protocol.wire import Output, ReportRequest
from orchestrator.protocol.words import Outcome
from tests.support.fake_http import Call, Problem
from tests.support.fake_server import FakeServer
from tests.support.waiting import wait_until
from tests.support.workers import Workplace

COUNT = "i=0; while [ ! -e gate ]; do i=$((i+1)); echo tick $i; sleep 0.005; done; echo end $i"


@pytest.fixture
def server(place: Workplace) -> FakeServer:
    """Give the server of a running worker."""
    place.start()
    return place.server


def _complete(lines: list[str]) -> bool:
    last = int(lines[-1].removeprefix("end "))
    return lines == [*(f"tick {n}" for n in range(1, last + 1)), f"end {last}"]


def test_a_job_goes_on_while_the_server_is_away(place: Workplace, server: FakeServer) -> None:
    """Output and end of that time arrive afterwards, in order, without a gap or a repeat."""
    job = server.sh(COUNT)
    attempt = server.running(job)
    wait_until(lambda: len(attempt.stream()) > 50)

    server.stop()
    seen = len(attempt.output)
    wait_until(lambda: "server.lost" in place.worker.stderr)
    (place.directory / "gate").touch()
    wait_until(lambda: not [line for line in place.leftovers() if line.endswith(" sh")])
    server.start()

    assert server.end(job, timeout_s=19).outcome is Outcome.SUCCEEDED
    assert len(attempt.output) > seen
    assert _complete(attempt.stream().decode().splitlines())
    wait_until(lambda: "server.reached" in place.worker.stderr)


def test_all_of_a_long_absence_arrives(place: Workplace, server: FakeServer) -> None:
    """Ends, floods and quiet work of that time, and of a worker that was killed: all is told.

    How long the server was away is no matter: nothing here runs out while nobody answers.
    """
    wait = "while [ ! -e {gate} ]; do sleep 0.01; done; "
    flood = "head -c 20000000 /dev/urandom | tee {copy}; "
    scripts = [
        wait.format(gate="away") + "echo short; exit 1",
        wait.format(gate="away") + flood.format(copy="over") + "exit 2",
        wait.format(gate="away") + flood.format(copy="on") + wait.format(gate="back") + "exit 3",
        COUNT.replace("gate", "back") + "; exit 4",
    ]
    jobs = [server.sh(script) for script in scripts]
    attempts = [server.running(job) for job in jobs]
    directory = place.directory

    server.stop()
    (directory / "away").touch()
    for copy in ("over", "on"):
        wait_until(lambda at=directory / copy: at.exists() and at.stat().st_size == 20_000_000)  # type: ignore[misc]  # a default binds it
    place.kill()
    place.launch()
    wait_until(lambda: "server.lost" in place.worker.stderr)
    server.start()
    for job, code in zip(jobs[:2], (1, 2), strict=True):
        assert server.end(job).exit_code == code
    (directory / "back").touch()

    assert [server.end(job).exit_code for job in jobs[2:]] == [3, 4]
    assert attempts[0].stream() == b"short\n"
    assert attempts[1].stream() == (directory / "over").read_bytes()
    assert attempts[2].stream() == (directory / "on").read_bytes()
    assert _complete(attempts[3].stream().decode().splitlines())
    assert len(server.attempts) == 4


def test_it_is_back_soon_after_the_server(place: Workplace, server: FakeServer) -> None:
    """After a short outage the next job is taken within seconds, and the log said it twice."""
    server.stop()
    wait_until(lambda: "server.lost" in place.worker.stderr)
    server.start()
    begun = time.monotonic()

    server.end(server.submit("delay", ms=0), timeout_s=18)

    assert time.monotonic() - begun < 8  # it is on this machine, so nobody waits longer than 5 s
    assert place.worker.stderr.count("server.lost") == 1
    assert place.worker.stderr.count("server.reached") == 1


def test_a_worker_waits_for_a_server_that_is_not_there_yet(place: Workplace) -> None:
    """Who starts first does not matter."""
    place.server.stop()
    worker = place.launch()
    wait_until(lambda: "server.lost" in worker.stderr)

    place.server.start()

    job = place.server.submit("delay", ms=0)
    assert place.server.end(job, timeout_s=18).outcome is Outcome.SUCCEEDED


@pytest.mark.parametrize("fault", ["hang up", "drop the answer"])
@pytest.mark.parametrize("name", ["claim", "report", "heartbeat", "output"])
def test_a_lost_call_is_made_again(server: FakeServer, name: str, fault: str) -> None:
    """Whether the request or its answer was lost, each attempt runs once and arrives whole."""
    server.fault(name, fault, fault)
    jobs = [server.sh(f"echo {n} >> log; head -c 30000 /dev/zero; echo {n}") for n in range(6)]

    for number, job in enumerate(jobs):
        end = server.end(job)
        assert end.outcome is Outcome.SUCCEEDED
        assert server.attempts[job, 1].stream() == b"\0" * 30_000 + f"{number}\n".encode()

    assert [key for key in server.attempts if key[1] != 1] == []


def test_output_that_became_too_much_for_a_report_while_one_was_lost_arrives(
    place: Workplace, server: FakeServer
) -> None:
    """Its command has ended when the report is lost, and nothing else will ever be said."""
    wait = "until [ -e {gate} ]; do sleep 0.01; done; "
    parts = (wait.format(gate="one"), "head -c 3000 /dev/zero; ", wait.format(gate="two"))
    job = server.sh("".join(parts) + "head -c 9000 /dev/zero")

    def lost(call: Call) -> str | None:
        said = call.request.events if isinstance(call.request, ReportRequest) else []
        if not any(isinstance(event, Output) for event in said):
            return None
        (place.directory / "two").touch()
        wait_until(lambda: '"attempt.ended"' in place.worker.stderr)
        server.faults.clear()
        return "hang up"

    server.running(job)
    server.fault("report", *[lost] * 5)
    (place.directory / "one").touch()

    assert server.end(job).outcome is Outcome.SUCCEEDED
    assert server.attempts[job, 1].stream() == b"\0" * 12_000
    assert [call.name for call in server.calls if call.name == "output"] == ["output"]


def test_a_claim_whose_answer_was_lost_is_repeated_with_its_number(server: FakeServer) -> None:
    """The same number brings the same attempts: nothing is granted twice, nothing forgotten."""
    wait_until(lambda: server.named("claim"), what="a claim waits")
    server.fault("claim", "drop the answer")  # the next one's, when the first job has answered this
    server.end(server.submit("delay", ms=0))
    job = server.submit("delay", ms=0)

    assert server.end(job).outcome is Outcome.SUCCEEDED

    numbers = [call.request.number for call in server.named("claim")]  # type: ignore[union-attr]  # a claim has one
    assert any(one == two for one, two in pairwise(numbers))
    assert numbers == sorted(numbers)
    assert (job, 2) not in server.attempts


def test_an_attempt_that_is_granted_twice_is_started_once(
    place: Workplace, server: FakeServer
) -> None:
    """Whatever a server says again, the command that runs is not started beside itself."""
    job = server.sh("echo begun >> log; while [ ! -e gate ]; do sleep 0.01; done")
    server.running(job)
    claims = len(server.named("claim"))

    server.replay(job)
    wait_until(lambda: len(server.named("claim")) > claims, what="the replayed grant was taken")
    server.end(server.sh("touch gate"))

    assert server.end(job).outcome is Outcome.SUCCEEDED
    assert (place.directory / "log").read_text() == "begun\n"


@pytest.mark.parametrize(
    "problem",
    [
        Problem(503, "overloaded", (("Retry-After", "1"),)),
        Problem(500, "broken"),
        Problem(502, "bad_gateway"),
        Problem(429, "rate_limited"),
    ],
)
@pytest.mark.parametrize("name", ["sessions", "claim", "report", "heartbeat", "output"])
def test_a_refusal_that_may_pass_is_waited_out(
    place: Workplace, name: str, problem: Problem
) -> None:
    """A server in trouble is asked again, with patience, and no job is harmed."""
    server = place.server
    server.fault(name, problem)
    place.launch()

    job = server.sh("head -c 20000 /dev/zero; exit 3")

    assert server.end(job).exit_code == 3
    assert server.attempts[job, 1].stream() == b"\0" * 20_000


@pytest.mark.parametrize("name", ["claim", "report", "heartbeat", "output"])
def test_a_refused_session_is_replaced_and_nothing_is_lost(
    place: Workplace, server: FakeServer, name: str
) -> None:
    """Whoever hears it first, a new session begins, keeps what runs, and output goes on."""
    job = server.sh(COUNT)
    attempt = server.running(job)
    wait_until(lambda: len(attempt.stream()) > 50)
    first = server.session_id

    server.fault(name, Problem(409, "session_ended"))
    other = server.sh("head -c 20000 /dev/zero")
    wait_until(lambda: server.session_id != first, what="a new session was opened")
    (place.directory / "gate").touch()

    assert server.end(job).outcome is Outcome.SUCCEEDED
    assert _complete(attempt.stream().decode().splitlines())
    assert server.end(other).outcome is Outcome.SUCCEEDED
    held = server.session.held if server.session else []
    assert (job, "running") in [(one.job_id, one.phase) for one in held]


def test_a_new_session_abandons_what_is_not_ours(place: Workplace, server: FakeServer) -> None:
    """An attempt that went to somebody else during an outage is ended and not reported."""
    job = server.sh("sleep 600")
    attempt = server.running(job)

    server.stop()
    attempt.ours = False
    attempt.session_id = "somebody else's"
    server.forget_session()
    server.start()

    wait_until(
        lambda: not [line for line in place.leftovers() if line.endswith(" sleep")], timeout_s=18
    )
    assert attempt.ended is None


@pytest.mark.parametrize(
    ("problem", "code"),
    [
        (Problem(401, "unauthenticated"), 77),
        (Problem(403, "forbidden"), 77),
        (Problem(426, "version_unsupported"), 78),
    ],
)
def test_a_refused_token_ends_the_worker(place: Workplace, problem: Problem, code: int) -> None:
    """What waiting cannot mend ends the process with its code and a sentence."""
    place.server.fault("sessions", problem)

    worker = place.launch()

    assert worker.wait() == code
    assert "worker.failed" in worker.stderr
    assert problem.code in worker.stderr
    assert "Traceback" not in worker.stderr


def test_a_session_of_somebody_else_is_waited_for(place: Workplace) -> None:
    """While another process is connected as this worker, it tries again and says why."""
    place.server.fault("sessions", *[Problem(409, "session_superseded")] * 3)

    worker = place.launch()

    assert place.server.end(place.server.submit("delay", ms=0)).outcome is Outcome.SUCCEEDED
    assert worker.stderr.count("server.refused") == 1
    assert "session_superseded" in worker.stderr


def test_a_heartbeat_is_not_starved_by_output(place: Workplace, server: FakeServer) -> None:
    """While tens of megabytes are on their way, the session is renewed in its rhythm."""
    job = server.sh("head -c 60000000 /dev/urandom")

    assert server.end(job).output_length > 60_000_000

    assert len(server.named("output")) > 10
    beats = [call.at for call in server.named("heartbeat")]
    gaps = [two - one for one, two in pairwise(beats)]
    assert max(gaps, default=0) < 1.0 + 1.0  # the fake's rhythm is a second


def test_a_call_that_is_always_refused_does_not_spin(server: FakeServer) -> None:
    """While other calls succeed all the time, a refused one keeps its patience and its silence."""
    server.fault("report", *[Problem(500, "broken")] * 1000)
    for _ in range(50):
        server.submit("delay", ms=0)
    wait_until(lambda: len(server.named("report")) >= 3)
    wait_until(lambda: len(server.attempts) == 50, what="claims went on")

    assert len(server.named("report")) < 12
    server.faults.clear()
    wait_until(lambda: all(a.over for a in list(server.attempts.values())), timeout_s=19)


def test_a_claim_waits_as_long_as_a_proxy_allows(server: FakeServer) -> None:
    """An idle worker asks once in a long while."""
    [claim] = wait_until(lambda: server.named("claim"))

    assert claim.request.wait_s == CLAIM_WAIT_S  # type: ignore[union-attr]  # a claim has one
