"""Orders: cancel, abandon, drain, stop; each at once, and none leaves a process behind."""

import signal
import time

import psutil
import pytest

from orchestrator.protocol.words import Outcome, Reason
from tests.support.fake_http import Problem
from tests.support.fake_server import FakeServer
from tests.support.waiting import wait_until
from tests.support.workers import Workplace

STUBBORN = (
    "trap '' TERM; setsid sh -c 'trap \"\" TERM; exec sleep 600' & while :; do sleep 0.05; done"
)


@pytest.fixture
def server(place: Workplace) -> FakeServer:
    """Give the server of a running worker."""
    place.start()
    return place.server


def _alive(place: Workplace) -> list[str]:
    return [line for line in place.leftovers() if line.endswith((" sleep", " sh"))]


def test_a_cancel_arrives_at_once(server: FakeServer) -> None:
    """From the order to the recorded end of a willing command it takes far less than a second."""
    job = server.submit(argv=["sleep", "600"])
    server.running(job)

    begun = time.monotonic()
    server.cancel(job)
    end = server.end(job)

    assert time.monotonic() - begun < 0.5
    assert (end.outcome, end.reason) == (Outcome.CANCELLED, Reason.CANCELLED_BY_USER)


def test_a_cancelled_tree_is_gone_before_its_end_is_told(
    place: Workplace, server: FakeServer
) -> None:
    """Who ignores the signal and hides in another session is gone when the server hears of it."""
    job = server.sh(STUBBORN, grace_s=0.2)
    server.running(job)
    wait_until(lambda: len(_alive(place)) >= 2, what="the tree was there")

    server.cancel(job)

    assert server.end(job).outcome is Outcome.CANCELLED
    assert _alive(place) == []


def test_a_cancel_of_a_delay_ends_it(server: FakeServer) -> None:
    """A job without a process is cancelled like any other."""
    job = server.submit("delay", ms=600_000)
    server.running(job)

    server.cancel(job)

    assert server.end(job).outcome is Outcome.CANCELLED


def test_a_known_cancel_is_shown_as_known(server: FakeServer) -> None:
    """The heartbeat that follows says so, so that the order is not repeated for ever."""
    job = server.sh("trap '' TERM; while :; do sleep 0.05; done", grace_s=1.0)
    server.running(job)

    server.cancel(job)
    server.end(job)

    shown = [
        one.cancelling
        for call in server.named("heartbeat")
        for one in call.request.attempts  # type: ignore[union-attr]  # a heartbeat has one
        if one.job_id == job
    ]
    assert shown.count(False) <= 2
    assert 1 <= shown.count(True) <= 4


def test_an_abandoned_attempt_is_ended_in_silence(place: Workplace, server: FakeServer) -> None:
    """What is not the worker's any more is killed, never reported, and makes room."""
    job = server.sh(STUBBORN, grace_s=0.1)
    attempt = server.running(job)
    wait_until(lambda: len(_alive(place)) >= 2, what="the tree was there")

    server.take_away(job)
    wait_until(lambda: not _alive(place), what="its processes are gone")

    next_job = server.submit("delay", ms=0)
    server.end(next_job)
    assert attempt.ended is None
    assert attempt.ends_heard == 0


def test_a_report_that_is_refused_ends_the_attempt(place: Workplace, server: FakeServer) -> None:
    """A worker that learns of its lost right by a report ends the command as well."""
    job = server.sh("echo one; while [ ! -e gate ]; do sleep 0.01; done; echo two; sleep 600")
    attempt = server.running(job)
    wait_until(attempt.stream)
    attempt.ours = False  # and no heartbeat is told

    (place.directory / "gate").touch()

    wait_until(lambda: not _alive(place), what="the command was ended")
    assert attempt.stream() == b"one\n"


def test_draining_finishes_what_runs_and_takes_nothing_new(place: Workplace) -> None:
    """The first signal lets jobs end; the worker says good-bye and exits with 0."""
    worker, server = place.start(), place.server
    job = server.sh("while [ ! -e gate ]; do sleep 0.01; done; echo done")
    server.running(job)

    worker.signal(signal.SIGTERM)
    wait_until(lambda: "drain" in worker.stderr)
    late = server.submit("delay", ms=0)
    (place.directory / "gate").touch()

    assert server.end(job).outcome is Outcome.SUCCEEDED
    assert worker.wait() == 0
    assert server.left
    attempt = server.attempts.get((late, 1))
    assert attempt is None or attempt.started is None


def test_a_worker_that_could_not_tell_all_says_no_good_bye(place: Workplace) -> None:
    """Good-bye gives back what was never started, and of this job the server knows no start."""
    worker, server = place.start(), place.server
    server.fault("report", *[Problem(500, "broken")] * 1000)
    server.sh("true")
    wait_until(lambda: server.named("report"), what="its start was reported in vain")

    worker.signal(signal.SIGTERM)

    assert worker.wait() == 0
    assert not server.named("goodbye")


def test_draining_gives_back_what_was_granted_on_the_way(place: Workplace) -> None:
    """An answer that the drain overtook is named as seen and listed as nothing."""
    worker, server = place.start(), place.server
    job = server.submit(argv=["sleep", "600"])
    server.running(job)
    claims = wait_until(lambda: server.named("claim")[1:], what="a second claim waits")

    worker.signal(signal.SIGTERM)

    number = claims[-1].request.number  # type: ignore[union-attr]  # a claim has one
    wait_until(
        lambda: server.named("heartbeat")[-1].request.claim_seen == number,  # type: ignore[union-attr]  # a heartbeat has it
        timeout_s=1,
        what="the heartbeat names it at once",
    )
    server.cancel(job)
    assert worker.wait() == 0


def test_an_idle_worker_leaves_at_once(place: Workplace) -> None:
    """Without jobs there is nothing to wait for, not even for the claim that waits."""
    worker = place.start()

    begun = time.monotonic()
    worker.signal(signal.SIGINT)

    assert worker.wait() == 0
    assert time.monotonic() - begun < 3


def test_the_second_signal_interrupts(place: Workplace) -> None:
    """Jobs end as preempted, with processes of their own or without, and it exits with 0."""
    worker, server = place.start(), place.server
    jobs = [server.sh("sleep 600"), server.submit("delay", ms=600_000)]
    for job in jobs:
        server.running(job)

    worker.signal(signal.SIGTERM)
    wait_until(lambda: "drain" in worker.stderr)
    worker.signal(signal.SIGTERM)

    for job in jobs:
        end = server.end(job)
        assert (end.outcome, end.reason) == (Outcome.PREEMPTED, Reason.PREEMPTED)
    assert worker.wait() == 0
    assert _alive(place) == []


def test_the_third_signal_leaves_jobs_running(place: Workplace) -> None:
    """It exits at once with the signal's code; the command goes on, and the next worker ends it."""
    worker, server = place.start(), place.server
    job = server.sh("trap '' TERM; while [ ! -e gate ]; do sleep 0.01; done; echo over", grace_s=60)
    attempt = server.running(job)
    assert attempt.started is not None
    pid = attempt.started.pid
    assert pid is not None

    for order in ("drain_ordered", "stop_ordered"):
        worker.signal(signal.SIGTERM)
        wait_until(lambda word=order: word in worker.stderr)  # type: ignore[misc]  # a default binds it
    worker.signal(signal.SIGTERM)
    code = worker.wait()
    assert psutil.pid_exists(pid)
    place.start()
    (place.directory / "gate").touch()

    assert code == 128 + signal.SIGTERM
    assert server.end(job).outcome is Outcome.PREEMPTED
    assert attempt.stream() == b"over\n"
