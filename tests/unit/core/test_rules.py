"""Leases, ranks, matching, and why a job waits."""

import pytest

from orchestrator.core import lease
from orchestrator.core.matching import Offer, Requirement, satisfies
from orchestrator.core.pending import Fleet, why_queued
from orchestrator.core.rank import head_of_queue, moved, rank
from orchestrator.protocol.words import Execution, PendingReason

SECOND = 1_000_000
MINUTE = 60 * SECOND
OFFER = Offer(
    worker_id="worker_1",
    worker_name="web",
    platform="linux",
    kinds=frozenset({"command"}),
    tags=frozenset({"gpu", "build"}),
)


def test_a_lease_is_over_a_minute_and_a_tick_after_its_stamp() -> None:
    """One microsecond before that the right still holds."""
    end = MINUTE + lease.TICK_MAX_US

    assert lease.latest_over(now=end - 1, floor=0) == -1
    assert lease.latest_over(now=end, floor=0) == 0
    assert lease.latest_over(now=end + 7, floor=0) == 7


def test_no_lease_is_over_within_one_of_the_start() -> None:
    """What was stamped before the server stopped is over once its workers had a minute."""
    start = 1000 * MINUTE
    end = start + MINUTE + lease.TICK_MAX_US

    assert lease.latest_over(now=end - 1, floor=start) == -1
    assert lease.latest_over(now=end, floor=start) == start


def test_a_job_that_may_be_started_only_once_is_waited_for() -> None:
    """Only what is never given to somebody else gains by waiting longer than its lease."""
    once, again = Execution.AT_MOST_ONCE, Execution.AT_LEAST_ONCE

    assert lease.patience_us(once, 15 * MINUTE) == 14 * MINUTE
    assert lease.patience_us(once, 30 * SECOND) == 0
    assert lease.patience_us(again, 15 * MINUTE) == 0


def test_the_lease_clock_ignores_an_hour_of_standstill() -> None:
    """A server that was stopped for an hour wakes up with its leases almost untouched."""
    assert lease.advanced(0, elapsed_us=3600 * SECOND) == 10 * SECOND
    assert lease.advanced(7, elapsed_us=-5) == 7


def test_a_silent_session_is_offline_after_half_a_minute() -> None:
    """Offline is shown well before the lease ends."""
    assert lease.is_online(renewed_at=0, now=30 * SECOND - 1)
    assert not lease.is_online(renewed_at=0, now=30 * SECOND)


def test_waiting_makes_up_for_priority() -> None:
    """A job of priority 0 passes one of priority 5 that came more than five minutes later."""
    old = rank(0, 0)

    assert rank(5 * MINUTE - 1, 5) < old
    assert rank(5 * MINUTE + 1, 5) > old


def test_a_preempted_job_goes_back_to_the_head() -> None:
    """Going back never costs a job its place."""
    before = rank(10 * MINUTE, 0)

    assert head_of_queue(before, 20 * MINUTE, 0) == before


@pytest.mark.parametrize(
    ("requirement", "expected"),
    [
        (Requirement("command"), True),
        (Requirement("delay"), False),
        (Requirement("command", tags=frozenset({"gpu"})), True),
        (Requirement("command", tags=frozenset({"gpu", "arm"})), False),
        (Requirement("command", platform="linux"), True),
        (Requirement("command", platform="macos"), False),
        (Requirement("command", worker="web"), True),
        (Requirement("command", worker="worker_1"), True),
        (Requirement("command", worker="worker_2"), False),
    ],
)
def test_a_worker_must_have_all_that_is_required(requirement: Requirement, expected: bool) -> None:
    """A job goes only to a worker with its kind, all its tags, its platform and its name."""
    assert satisfies(OFFER, requirement) is expected


@pytest.mark.parametrize(
    ("fleet", "reason"),
    [
        (Fleet(0, 0, 0), PendingReason.NO_WORKER_ONLINE),
        (Fleet(2, 0, 0), PendingReason.NO_WORKER_MATCHES),
        (Fleet(2, 1, 0), PendingReason.ALL_SLOTS_BUSY),
        (Fleet(2, 1, 1), PendingReason.STARTING),
    ],
)
def test_a_queued_job_says_why_it_waits(fleet: Fleet, reason: PendingReason) -> None:
    """The first thing that a person would have to change is the one that is named."""
    assert why_queued(fleet) is reason


@pytest.mark.parametrize(("was", "priority"), [(0, 10), (10, -10), (5, 5), (-100, 100)])
def test_a_new_priority_keeps_what_was_waited(was: int, priority: int) -> None:
    """A job whose priority changes stands where it would, had it come with the new one."""
    assert moved(rank(7 * MINUTE, was), was=was, priority=priority) == rank(7 * MINUTE, priority)
