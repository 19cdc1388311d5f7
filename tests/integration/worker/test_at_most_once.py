"""What may be started only once is started when the server has its start, and never before."""

from typing import Any

import pytest

from orchestrator.protocol.words import Execution, Outcome, Reason
from tests.support.fake_http import Problem
from tests.support.fake_server import FakeServer
from tests.support.waiting import wait_until
from tests.support.workers import Workplace

ONCE: dict[str, Any] = {"execution": Execution.AT_MOST_ONCE}
AWAY = Problem(503, "storage_full")


@pytest.fixture
def server(place: Workplace) -> FakeServer:
    """Give the server of a running worker."""
    place.start()
    return place.server


def test_nothing_runs_before_the_server_has_the_start(place: Workplace, server: FakeServer) -> None:
    """While reports are refused the command is not started; then it is, once, and says its pid."""
    marker = place.directory / "began"
    server.fault("report", *[AWAY] * 3)
    job = server.sh(f"echo $$ >> {marker}; echo hello", **ONCE)

    wait_until(lambda: len(server.named("report")) >= 3)
    assert not marker.exists()

    assert server.end(job).exit_code == 0
    attempt = server.attempt(job)
    assert attempt.started is not None
    assert marker.read_text() == f"{attempt.started.pid}\n"
    assert attempt.stream() == b"hello\n"


def test_a_cancel_before_the_start_is_recorded_starts_nothing(
    place: Workplace, server: FakeServer
) -> None:
    """The end is told, because the server may have the start already; nothing ran."""
    marker = place.directory / "began"
    server.fault("report", *[AWAY] * 3)
    job = server.sh(f"touch {marker}", **ONCE)
    server.attempt(job)
    wait_until(lambda: server.named("report"))

    server.cancel(job)

    ended = server.end(job)
    assert (ended.outcome, ended.reason) == (Outcome.CANCELLED, Reason.CANCELLED_BY_USER)
    assert not marker.exists()


def test_an_attempt_that_is_lost_before_its_start_is_never_started(
    place: Workplace, server: FakeServer
) -> None:
    """Told to abandon it, the worker forgets it, and its slot is free."""
    marker = place.directory / "began"
    server.fault("report", *[AWAY] * 2)
    job = server.sh(f"touch {marker}", **ONCE)
    server.attempt(job)

    server.take_away(job)

    assert server.end(server.sh("exit 3")).exit_code == 3
    assert not marker.exists()
    assert server.attempt(job).ended is None


def test_a_worker_that_is_killed_while_it_waits_has_started_nothing(
    place: Workplace, server: FakeServer
) -> None:
    """Its successor knows nothing of the attempt, and the server hears that it is not held."""
    marker = place.directory / "began"
    server.fault("report", *[AWAY] * 100)
    job = server.sh(f"touch {marker}", **ONCE)
    server.attempt(job)
    wait_until(lambda: server.named("report"))

    place.kill()
    server.faults.clear()
    place.start()

    wait_until(lambda: server.session is not None and not server.session.held)
    assert server.end(server.sh("exit 3")).exit_code == 3
    assert not marker.exists()
