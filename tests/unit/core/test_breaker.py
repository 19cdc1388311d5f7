"""Whether a worker is trusted: the table of its breaker, its pauses, and what speaks against it."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.breaker import (
    FIRST_PAUSE_US,
    JOBS,
    LONGEST_PAUSE_US,
    OF_THE_MACHINE,
    REMEMBERED_US,
    TRANSITIONS,
    WINDOW_US,
    Breaker,
    BreakerEvent,
    Fault,
    happened,
    is_against,
    judge,
    longest_pause_us,
)
from orchestrator.kernel.errors import IllegalTransition
from orchestrator.protocol.words import BreakerState, Reason

S = BreakerState
E = BreakerEvent
NOW = 10 * REMEMBERED_US


@pytest.mark.parametrize(("state", "event"), list(itertools.product(S, E)))
def test_what_is_not_in_the_table_is_refused(state: BreakerState, event: BreakerEvent) -> None:
    """Each pair is either in the table and leads where it says, or cannot happen."""
    breaker = Breaker(state=state)

    if (state, event) in TRANSITIONS:
        assert happened(breaker, event, now_us=NOW).state is TRANSITIONS[state, event]
    else:
        with pytest.raises(IllegalTransition, match=f"is {state} cannot have {event}"):
            happened(breaker, event, now_us=NOW)


def test_only_a_person_undoes_what_a_person_did() -> None:
    """Nothing that happens to jobs lets a worker in that somebody keeps out."""
    ways = {
        event
        for (state, event), to in TRANSITIONS.items()
        if state is S.FORCED and to is not S.FORCED
    }

    assert ways == {E.RELEASED}


@given(st.lists(st.sampled_from(E), max_size=30), st.floats(0, 1, exclude_max=True))
def test_a_breaker_always_says_what_comes_next(events: list[BreakerEvent], draw: float) -> None:
    """Open, it has a moment; closed, nothing is left; no pause is longer than the longest."""
    breaker, now_us = Breaker(), NOW
    for event in events:
        now_us += FIRST_PAUSE_US
        try:
            breaker = happened(breaker, event, now_us=now_us, draw=draw, why="why", by="ada")
        except IllegalTransition:
            continue
        assert (breaker.next_us is not None) is (breaker.state is S.OPEN)
        assert (breaker.why is None) is (breaker.state is S.CLOSED)
        assert (breaker.opened_us == 0) is (breaker.state is S.CLOSED)
        assert 0 <= breaker.opened_us <= breaker.since_us == now_us
        if breaker.next_us is not None:
            ceiling = longest_pause_us(breaker.trips)
            assert ceiling / 2 <= breaker.next_us - now_us <= min(ceiling, LONGEST_PAUSE_US)


def test_pauses_grow_until_the_canary_comes_home() -> None:
    """Each canary that fails doubles the pause, up to half an hour; an hour of peace forgets it."""
    breaker = happened(Breaker(), E.TRIPPED, now_us=NOW, draw=0.5)
    pauses = []
    for _ in range(8):
        pauses.append((breaker.next_us or 0) - breaker.since_us)
        breaker = happened(breaker, E.PAUSED_ENOUGH, now_us=breaker.next_us or 0)
        breaker = happened(breaker, E.FAILED_AGAIN, now_us=breaker.since_us, draw=0.5)
    assert pauses == [min(45_000_000 * 2**n, 1_350_000_000) for n in range(8)]

    closed = happened(breaker, E.PROVEN, now_us=NOW)
    soon = happened(closed, E.TRIPPED, now_us=NOW + REMEMBERED_US)
    late = happened(closed, E.TRIPPED, now_us=NOW + REMEMBERED_US + 1)
    assert (soon.trips, late.trips) == (10, 1)
    assert happened(breaker, E.RELEASED, now_us=NOW).trips == 0


def _faults(*reasons: Reason, elsewhere: bool = False) -> list[Fault]:
    return [
        Fault(f"job_{n}", reason, f"job_{n}", NOW, elsewhere) for n, reason in enumerate(reasons)
    ]


@pytest.mark.parametrize("reason", Reason)
def test_failures_of_different_jobs_speak_against_a_machine(reason: Reason) -> None:
    """Three do, if the reason may lie in the machine, or if they succeeded elsewhere."""
    assert (judge(_faults(*[reason] * JOBS), now_us=NOW) is not None) is (reason in OF_THE_MACHINE)
    assert judge(_faults(*[reason] * (JOBS - 1), elsewhere=True), now_us=NOW) is None
    verdict = judge(_faults(*[reason] * JOBS, elsewhere=True), now_us=NOW)
    assert verdict is not None
    assert reason in verdict.why


def test_what_does_not_speak_against_a_machine() -> None:
    """One job that fails again and again, one power cut, what is long ago, reasons that differ."""
    oom = Fault("job_1", Reason.OOM, "job_1", NOW)
    cut = [Fault(f"job_{n}", Reason.WORKER_LOST, "session_1", NOW) for n in range(9)]
    old = [one._replace(at_us=NOW - WINDOW_US) for one in _faults(*[Reason.OOM] * 9)]
    mixed = _faults(Reason.SIGNAL, Reason.EXIT_NONZERO, Reason.TIMEOUT_RUN, elsewhere=True)

    for faults in ([oom] * 9, cut, old, mixed):
        assert judge(faults, now_us=NOW) is None
    assert judge([oom, *cut], now_us=NOW) is None
    assert judge([oom, *cut, Fault("job_2", Reason.OOM, "job_2", NOW)], now_us=NOW) is not None
    assert judge(_faults(Reason.SPAWN_ERROR, Reason.OOM, Reason.DISK_FULL), now_us=NOW) is not None


def test_a_canary_is_held_against_its_machine_for_the_same_reason() -> None:
    """Its own failure says nothing, unless others failed so here and succeeded elsewhere."""
    plain, blamed = Breaker(), Breaker(cause=Reason.EXIT_NONZERO)

    assert not is_against(plain, Reason.EXIT_NONZERO)
    assert is_against(blamed, Reason.EXIT_NONZERO)
    assert not is_against(blamed, Reason.SIGNAL)
    assert is_against(plain, Reason.DISK_FULL)
    assert not is_against(plain, None)
