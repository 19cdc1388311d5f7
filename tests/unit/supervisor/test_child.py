"""The life of a child: the table, and what is decided from it."""

import itertools
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.kernel.errors import IllegalTransition
from orchestrator.supervisor.children import NOTES
from orchestrator.supervisor.logic.child import (
    TRANSITIONS,
    Appeared,
    BecameReady,
    Child,
    ChildEvent,
    ChildState,
    Decision,
    Effect,
    Ended,
    Happening,
    Retry,
    Spoke,
    Tick,
    Want,
    Wanted,
    decide,
    mermaid,
    next_state,
)
from orchestrator.supervisor.logic.patience import ChildPolicy
from tests.support import documents

S = ChildState
POLICY = ChildPolicy(drain_s=600.0, stop_s=10.0, ready_s=30.0)
WITH_A_PROCESS = {S.STARTING, S.READY, S.DRAINING, S.STOPPING, S.LEAVING, S.KILLED}


def _after(*happenings: tuple[float, Happening], policy: ChildPolicy = POLICY) -> Decision:
    """Return the decision after the last of some timed happenings, all with the draw 0.5."""
    decision = Decision(Child(policy))
    for now, happening in happenings:
        decision = decide(decision.child, happening, now=now, draw=0.5)
    return decision


LAUNCHED = (0.0, Tick())
APPEARED = (1.0, Appeared())
READY = (2.0, BecameReady())


@pytest.mark.parametrize(("state", "event"), list(itertools.product(ChildState, ChildEvent)))
def test_what_is_not_in_the_table_is_refused(state: ChildState, event: ChildEvent) -> None:
    """Each of all pairs either has a row, or raises."""
    if (state, event) in TRANSITIONS:
        assert next_state(state, event) is TRANSITIONS[state, event]
        return
    with pytest.raises(IllegalTransition, match=f"{state} cannot have {event}"):
        next_state(state, event)


def test_every_state_can_be_reached_and_none_is_a_trap() -> None:
    """From the beginning all states are found, and from each of them the way leads down."""
    steps = {(source, to) for (source, _), to in TRANSITIONS.items()}

    assert _reachable({S.DOWN}, steps) == set(ChildState)
    assert _reachable({S.DOWN}, {(to, source) for source, to in steps}) == set(ChildState)


def _reachable(
    found: set[ChildState], steps: set[tuple[ChildState, ChildState]]
) -> set[ChildState]:
    while more := {to for source, to in steps if source in found} - found:
        found = found | more
    return found


def test_the_diagram_has_every_row() -> None:
    """What the manual draws is the table."""
    drawn = documents.fenced(documents.section("ORCHESTRATOR.md", "The life of a child"), "mermaid")

    assert drawn == [mermaid() + "\n"]
    assert all(
        f"{source} --> {to}: {event}" in drawn[0] for (source, event), to in TRANSITIONS.items()
    )


def test_a_child_is_launched_appears_and_is_ready() -> None:
    """Nothing is asked of it on the way; only that it becomes ready has a deadline."""
    assert _after(LAUNCHED).effects == (Effect.LAUNCH,)
    assert _after(LAUNCHED).child.state is S.LAUNCHING
    assert _after(LAUNCHED, APPEARED).child.act_at == 31.0
    ready = _after(LAUNCHED, APPEARED, READY)
    assert (ready.child.state, ready.child.act_at, ready.effects) == (S.READY, math.inf, ())


def test_a_child_that_is_not_ready_in_time_is_killed_and_started_again() -> None:
    """It hangs, so it is not asked; its end counts as a failure."""
    late = _after(LAUNCHED, APPEARED, (31.0, Tick()))
    again = decide(late.child, Ended(), now=32.0, draw=0.5)

    assert (late.child.state, late.effects) == (S.KILLED, (Effect.KILL,))
    assert (again.child.state, again.child.act_at, again.child.failures) == (S.BACKOFF, 32.5, 1)


def test_a_child_without_a_deadline_may_wait_for_ever() -> None:
    """A worker whose server is away is not at fault."""
    patient = ChildPolicy()

    assert _after(LAUNCHED, APPEARED, (1e9, Tick()), policy=patient).child.state is S.STARTING


def test_every_word_of_the_log_is_in_the_manual() -> None:
    """What the log says of a child is explained to those who read it."""
    told = documents.quoted(documents.section("ORCHESTRATOR.md", "The life of a child"))

    assert {name for _, name in NOTES.values()} <= set(told)


def test_the_first_restart_after_a_healthy_minute_is_immediate() -> None:
    """What was well for a minute starts again at once, and what happened before is forgiven."""
    ended = _after(LAUNCHED, APPEARED, READY, (62.0, Ended(1)))

    assert (ended.child.state, ended.effects) == (S.LAUNCHING, (Effect.LAUNCH,))
    assert ended.child.failures == 0


def test_restarts_in_a_row_wait_longer_and_longer_up_to_a_minute() -> None:
    """Each wait is drawn below a ceiling of 1, 2, 4 … 60 seconds."""
    child = _after(LAUNCHED, APPEARED, READY, (3.0, Ended(1))).child
    now, waits = 3.0, [child.act_at - 3.0]
    for _ in range(8):
        assert decide(child, Tick(), now=child.act_at - 0.01, draw=0.5).child.state is S.BACKOFF
        now = child.act_at
        decision = decide(child, Tick(), now=now, draw=0.5)
        assert decision.effects == (Effect.LAUNCH,)
        child = decide(decision.child, Appeared(), now=now, draw=0.5).child
        child = decide(child, Ended(1), now=now, draw=0.5).child
        waits.append(child.act_at - now)

    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


def test_a_child_whose_data_is_held_by_another_is_tried_again_until_it_is_free() -> None:
    """One that was orphaned is about to end: however often that is met, it is no failure."""
    child, now = _after(LAUNCHED).child, 0.0
    waits = []
    for _ in range(20):
        child = decide(child, Appeared(), now=now, draw=0.5).child
        child = decide(child, Ended(5), now=now, draw=0.5).child
        assert (child.state, child.failures) == (S.BACKOFF, 0)
        waits.append(child.act_at - now)
        now = child.act_at
        child = decide(child, Tick(), now=now, draw=0.5).child

    assert waits[:3] == [0.5, 1.0, 2.0]
    assert max(waits) == 2.5


def test_draining_is_bounded_then_stopping_is_bounded_then_it_is_killed() -> None:
    """Each phase has its deadline, and that the first one passed is remembered."""
    drain = _after(LAUNCHED, APPEARED, READY, (10.0, Want(Wanted.DRAIN)))
    stop = decide(drain.child, Tick(), now=610.0, draw=0.5)
    kill = decide(stop.child, Tick(), now=620.0, draw=0.5)
    down = decide(kill.child, Ended(), now=621.0, draw=0.5)

    assert (drain.child.state, drain.effects) == (S.DRAINING, (Effect.TELL_DRAIN,))
    assert (stop.child.state, stop.effects) == (S.STOPPING, (Effect.TELL_STOP,))
    assert (kill.child.state, kill.effects) == (S.KILLED, (Effect.KILL,))
    assert (down.child.state, down.effects) == (S.DOWN, ())
    assert down.child.is_settled
    assert down.child.overdrawn
    assert down.child.forced


def test_a_child_that_drains_in_time_is_down_and_stays_down() -> None:
    """It ended because it was asked to: nothing is started again, and nothing was overdrawn."""
    down = _after(LAUNCHED, APPEARED, READY, (10.0, Want(Wanted.DRAIN)), (99.0, Ended(0)))

    assert (down.child.state, down.effects, down.child.overdrawn) == (S.DOWN, (), False)
    assert decide(down.child, Tick(), now=1e9, draw=0.5).effects == ()


def test_what_has_nothing_to_drain_is_stopped() -> None:
    """For a server, draining is stopping."""
    told = _after(LAUNCHED, APPEARED, READY, (3.0, Want(Wanted.DRAIN)), policy=ChildPolicy())

    assert (told.child.state, told.effects) == (S.STOPPING, (Effect.TELL_STOP,))


def test_an_order_while_it_is_launched_is_given_when_it_appears() -> None:
    """Who gives an order early is neither ignored nor waits for a process that is not there."""
    early = _after(LAUNCHED, (0.5, Want(Wanted.STOP)))
    told = decide(early.child, Appeared(), now=1.0, draw=0.5)

    assert (early.child.state, early.effects) == (S.LAUNCHING, (Effect.ABANDON,))
    assert (told.child.state, told.effects) == (S.STOPPING, (Effect.TELL_STOP,))


def test_a_launch_that_failed_after_the_order_is_the_end() -> None:
    """What could not be started need not be stopped."""
    down = _after(LAUNCHED, (0.5, Want(Wanted.DRAIN)), (0.6, Ended()))

    assert (down.child.state, down.effects) == (S.DOWN, ())


def test_an_order_while_it_waits_for_a_restart_ends_the_waiting() -> None:
    """Nothing is started only to be stopped."""
    down = _after(LAUNCHED, APPEARED, READY, (3.0, Ended(1)), (3.1, Want(Wanted.DRAIN)))

    assert (down.child.state, down.effects) == (S.DOWN, ())
    assert down.child.is_settled


def test_leaving_hangs_up_and_orders_nothing() -> None:
    """Jobs are to go on, so the child is not told to drain or stop; it hears that we are gone."""
    left = _after(LAUNCHED, APPEARED, READY, (3.0, Want(Wanted.LEAVE)))
    killed = decide(left.child, Tick(), now=13.0, draw=0.5)

    assert (left.child.state, left.effects) == (S.LEAVING, (Effect.HANG_UP,))
    assert killed.effects == (Effect.KILL,)


def test_a_child_may_say_twice_that_it_is_ready() -> None:
    """It counts as healthy from the first time on."""
    ready = _after(LAUNCHED, APPEARED, READY, (50.0, BecameReady()))

    assert (ready.child.state, ready.child.ready_at, ready.effects) == (S.READY, 2.0, ())


def test_readiness_that_comes_too_late_changes_nothing() -> None:
    """It was under way when the order was given."""
    told = _after(LAUNCHED, APPEARED, (1.5, Want(Wanted.STOP)), READY)

    assert (told.child.state, told.effects, told.child.was_ready) == (S.STOPPING, (), False)


@pytest.mark.parametrize(("first", "second"), list(itertools.product(Wanted, Wanted)))
def test_what_is_wanted_only_gets_stricter(first: Wanted, second: Wanted) -> None:
    """A milder order after a stricter one changes nothing."""
    order = list(Wanted)

    child = _after(LAUNCHED, (0.1, Want(first)), (0.2, Want(second))).child

    assert order.index(child.wanted) == max(order.index(first), order.index(second))


FACTS = st.sampled_from(
    [
        *(Appeared(), BecameReady(), Spoke(), Retry(), Tick()),
        *(Ended(0), Ended(1), Ended(78), Ended()),
    ]
)
ORDERS = st.sampled_from([Want(wanted) for wanted in Wanted])


@given(st.lists(st.tuples(st.floats(0, 100), FACTS | ORDERS), max_size=60))
def test_no_history_breaks_the_rules(history: list[tuple[float, Happening]]) -> None:
    """Whatever a world does that obeys causality: effects fit the state, and time moves things on.

    The world here only skips what cannot happen: a fact about a process that does not exist.
    """
    talkative = replace(POLICY, silent_s=30.0)
    child, now = Child(talkative), 0.0
    for elapsed, happening in history:
        now += elapsed
        if not _possible(child, happening):
            continue
        before = child.state
        child, effects = _unpacked(decide(child, happening, now=now, draw=0.5))
        assert len(effects) <= 1
        if Effect.LAUNCH in effects:
            assert before not in WITH_A_PROCESS or happening == Ended(getattr(happening, "code", 0))
            assert child.wanted is Wanted.RUN
        if {Effect.TELL_DRAIN, Effect.TELL_STOP, Effect.HANG_UP, Effect.KILL} & set(effects):
            assert child.state in WITH_A_PROCESS
        if child.state in {S.DRAINING, S.STOPPING, S.LEAVING, S.BACKOFF, S.PARKED}:
            assert child.act_at < math.inf

    child = decide(child, Want(Wanted.STOP), now=now, draw=0.5).child
    for _ in range(3):
        now += 1000
        child = decide(child, Tick(), now=now, draw=0.5).child
    if child.state is S.LAUNCHING or child.state in WITH_A_PROCESS:
        child = decide(child, Ended(), now=now, draw=0.5).child
    assert child.is_settled


def _unpacked(decision: Decision) -> tuple[Child, tuple[Effect, ...]]:
    return decision.child, decision.effects


def _possible(child: Child, happening: Happening) -> bool:
    match happening:
        case Appeared():
            return child.state is S.LAUNCHING
        case BecameReady() | Spoke():
            return child.state in WITH_A_PROCESS
        case Ended():
            return child.state is S.LAUNCHING or child.state in WITH_A_PROCESS
        case Want() | Retry() | Tick():
            return True
