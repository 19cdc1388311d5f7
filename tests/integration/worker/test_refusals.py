"""The server does not understand what is said of one attempt: the others go on, people see it."""

import contextlib
from collections.abc import Callable, Collection
from pathlib import Path

import pytest
from pydantic import BaseModel

from orchestrator.protocol.wire import (
    Ack,
    Ended,
    HeartbeatRequest,
    LiveAttempt,
    Output,
    ReportReply,
    ReportRequest,
)
from orchestrator.protocol.words import Directive
from tests.support.fake_http import Call, Fault, Problem
from tests.support.fake_server import FakeServer
from tests.support.waiting import wait_until
from tests.support.workers import Workplace

INVALID = Problem(422, "request_invalid")
ALWAYS = 1000


@pytest.fixture
def server(place: Workplace) -> FakeServer:
    """Give the server of a running worker."""
    place.start()
    return place.server


class Refusing:
    """A server that does not understand what matches of one attempt, and counts how often."""

    def __init__(self, job_id: str, of: Callable[[BaseModel], bool] = lambda _: True) -> None:
        self.job_id = job_id
        self.of = of
        self.times = 0

    def __call__(self, call: Call) -> Problem | None:
        """Refuse a call that says it."""
        said = call.request.events if isinstance(call.request, ReportRequest) else []
        mine = [event for event in said if event.job_id == self.job_id]
        if call.params.get("job_id") == self.job_id or any(map(self.of, mine)):
            self.times += 1
            return INVALID
        return None


def _gather(server: FakeServer, fault: Fault) -> None:
    """Let a second of reports come together in one, and then refuse them."""
    pause = Problem(503, "overloaded", (("Retry-After", "1"),))
    server.fault("report", pause, *[fault] * ALWAYS)


def _is_output(event: BaseModel) -> bool:
    return isinstance(event, Output)


def test_what_is_refused_of_one_attempt_keeps_no_other(
    place: Workplace, server: FakeServer
) -> None:
    """One report holds them all: its culprit is found, and its end is told in plain words."""
    culprit = server.sh("echo unspeakable; exit 7")
    refusing = Refusing(culprit, _is_output)
    _gather(server, refusing)
    others = [server.sh(f"echo {number}; exit {number}") for number in range(6)]

    for number, job in enumerate(others):
        assert server.end(job).exit_code == number
        assert server.attempts[job, 1].stream() == f"{number}\n".encode()
    end = _plain_end(server, culprit)

    assert end.exit_code == 7
    assert "did not understand" in str(end.message)
    assert refusing.times <= 2
    assert place.worker.returncode is None
    assert place.worker.stderr.count("attempt.report_refused") == 1
    assert culprit in place.worker.stderr
    wait_until(lambda: _kept(place), what="its log was put aside")
    assert any(b"unspeakable" in path.read_bytes() for path in _kept(place))


def test_an_attempt_of_which_nothing_is_understood_is_given_up(place: Workplace) -> None:
    """It is not said for ever, it takes no slot, and the next worker process tells it again."""
    server, place.slots = place.server, 1
    place.start()
    culprit = server.sh("echo words; exit 7")
    refusing = Refusing(culprit)
    _gather(server, refusing)
    others = [server.sh(f"exit {number}") for number in range(6)]

    assert [server.end(job).exit_code for job in others] == list(range(6))
    wait_until(lambda: "attempt.given_up" in place.worker.stderr)
    assert refusing.times <= 4
    wait_until(lambda: len(server.named("sessions")) == 2, what="a session without it")
    assert culprit not in str(server.named("sessions")[-1].request)
    assert server.end(server.sh("exit 9")).exit_code == 9
    wait_until(lambda: culprit not in str(server.named("heartbeat")[-1].request))
    assert refusing.times <= 4

    server.faults.clear()
    place.kill()
    place.start()
    assert server.end(culprit).exit_code == 7
    assert server.attempts[culprit, 1].stream() == b"words\n"


def test_output_that_is_refused_does_not_stop_its_command(
    place: Workplace, server: FakeServer
) -> None:
    """Its end is told when it comes, with an exact code and with what is missing."""
    culprit = server.sh(
        "head -c 100000 /dev/zero; while [ ! -e gate ]; do sleep 0.01; done; exit 3"
    )
    server.fault("output", *[Refusing(culprit)] * ALWAYS)
    wait_until(lambda: "attempt.report_refused" in place.worker.stderr)
    other = server.sh("head -c 100000 /dev/zero")
    assert server.end(other).output_length > 100_000

    (place.directory / "gate").touch()
    end = _plain_end(server, culprit)

    assert end.exit_code == 3
    assert place.worker.returncode is None


def test_a_start_that_is_not_understood_begins_nothing(place: Workplace) -> None:
    """What may start only once recorded never starts, and its slot is free for others."""
    server, place.slots = place.server, 1
    place.start()
    culprit = server.sh("touch ran", execution="at_most_once")
    server.fault("report", *[Refusing(culprit)] * ALWAYS)
    wait_until(lambda: "attempt.report_refused" in place.worker.stderr)

    assert server.end(server.sh("exit 4")).exit_code == 4
    assert not (place.directory / "ran").exists()
    assert culprit not in [one.job_id for one in _last_listed(server)]


@pytest.mark.parametrize("name", ["output", "report"])
def test_an_attempt_that_the_server_gives_up_is_ended(
    place: Workplace, server: FakeServer, name: str
) -> None:
    """The answer to what it said is to abandon it: its processes go, its end is told once."""
    size = 100_000 if name == "output" else 100
    job = server.sh(f"while :; do head -c {size} /dev/zero; sleep 0.1; done")
    attempt = server.running(job)
    wait_until(attempt.stream)
    gone = Ack(job_id=job, attempt=1, directive=Directive.ABANDON)
    answer = gone if name == "output" else ReportReply(acks=[gone])

    server.fault(name, lambda _: answer)

    wait_until(lambda: not [line for line in place.leftovers() if line.endswith(" sh")])
    assert server.end(server.sh("exit 4")).exit_code == 4
    place.worker.stop()
    place.start()
    assert server.session is not None
    assert server.session.held == []
    assert attempt.ends_heard <= 1


def _last_listed(server: FakeServer) -> list[LiveAttempt]:
    request = server.named("heartbeat")[-1].request
    assert isinstance(request, HeartbeatRequest)
    return request.attempts


def _plain_end(server: FakeServer, job_id: str) -> Ended:
    """Return an end that does not claim that all of the output was sent."""
    end = wait_until(lambda: server.attempts[job_id, 1].ended)
    assert end is not None
    assert end.output_final
    return end


def _kept(place: Workplace) -> Collection[Path]:
    with contextlib.suppress(FileNotFoundError):
        return list((place.state / "spool/refused").iterdir())
    return []
