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


def test_what_cannot_be_begun_here_goes_back_before_its_start_is_told(place: Workplace) -> None:
    """A machine that refuses a shim costs no attempt: another worker may run the job."""
    place.start()
    log = place.state / "spool" / "shims.log"
    log.unlink(missing_ok=True)
    log.mkdir()  # no shim can begin where it cannot leave its last words

    job = place.server.sh("exit 3", **ONCE)

    attempt = place.server.attempt(job)
    wait_until(lambda: attempt.over, what="it was given back")
    assert attempt.released
    assert attempt.started is None
    log.rmdir()


def test_a_shim_that_was_kept_for_a_start_is_used_again(
    place: Workplace, server: FakeServer
) -> None:
    """As many attempts as there are slots are cancelled unheard of, and all slots are free."""
    server.fault("report", *[AWAY] * 4)
    jobs = [server.sh("exit 9", **ONCE) for _ in range(place.slots)]
    for job in jobs:
        server.attempt(job)
        server.cancel(job)

    for job in jobs:
        wait_until(lambda job=job: server.attempts[job, 1].over)  # type: ignore[misc]  # a default
    for job in [server.sh("exit 3", **ONCE) for _ in range(place.slots)]:
        assert server.end(job).exit_code == 3
