"""What is done about a child that cannot work, or does not: parked, tried again, or killed."""

import itertools
import math

import pytest

from orchestrator.supervisor.logic.child import (
    Appeared,
    BecameReady,
    Child,
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
)
from orchestrator.supervisor.logic.patience import ChildPolicy

S = ChildState
POLICY = ChildPolicy(drain_s=600.0, stop_s=10.0, ready_s=30.0)


def _after(*happenings: tuple[float, Happening], policy: ChildPolicy = POLICY) -> Decision:
    """Return the decision after the last of some timed happenings, all with the draw 0.5."""
    decision = Decision(Child(policy))
    for now, happening in happenings:
        decision = decide(decision.child, happening, now=now, draw=0.5)
    return decision


LAUNCHED = (0.0, Tick())
APPEARED = (1.0, Appeared())
READY = (2.0, BecameReady())


@pytest.mark.parametrize(
    ("code", "probe_s", "before"),
    [
        (73, 60.0, ()),
        (77, 900.0, ()),
        (77, 900.0, (READY,)),
        (78, 900.0, ()),
        (78, 900.0, (READY,)),
    ],
)
def test_a_child_that_says_that_somebody_must_mend_something_is_parked(
    code: int, probe_s: float, before: tuple[tuple[float, Happening], ...]
) -> None:
    """It is not repeated in vain, also when it had worked; one looks by oneself much later."""
    parked = _after(LAUNCHED, APPEARED, *before, (100.0, Ended(code)))
    early = decide(parked.child, Tick(), now=99.0 + probe_s, draw=0.5)
    probed = decide(parked.child, Tick(), now=100.0 + probe_s, draw=0.5)

    assert (parked.child.state, parked.child.last_code) == (S.PARKED, code)
    assert parked.child.is_hopeless is not bool(before)
    assert (early.child.state, early.effects) == (S.PARKED, ())
    assert probed.effects == (Effect.LAUNCH,)


@pytest.mark.parametrize(("ended_at", "started_within_s"), [(3.0, 1.0), (62.0, 0.0)])
def test_a_disk_that_failed_once_while_a_child_worked_is_tried_at_once(
    ended_at: float, started_within_s: float
) -> None:
    """As after any other end; only when the next start says the same does it wait for people."""
    ended = _after(LAUNCHED, APPEARED, READY, (ended_at, Ended(73)))
    again = decide(ended.child, Tick(), now=ended_at + started_within_s, draw=0.5)
    appeared = decide(again.child, Appeared(), now=ended_at + 1.5, draw=0.5)
    parked = decide(appeared.child, Ended(73), now=ended_at + 2.0, draw=0.5)

    assert (*ended.effects, *again.effects) == (Effect.LAUNCH,)
    assert (parked.child.state, parked.child.act_at) == (S.PARKED, ended_at + 62.0)


@pytest.mark.parametrize("code", [1, 78])
def test_what_a_child_waits_for_may_have_come_true(code: int) -> None:
    """Somebody mended something: it is started at once, whatever it waited for."""
    ended = _after(LAUNCHED, APPEARED, READY, (3.0, Ended(code)))

    again = decide(ended.child, Retry(), now=3.1, draw=0.5)

    assert (again.child.state, again.effects) == (S.LAUNCHING, (Effect.LAUNCH,))


def test_a_child_that_runs_has_nothing_to_retry() -> None:
    """What is already so is not done again."""
    assert _after(LAUNCHED, APPEARED, READY, (3.0, Retry())) == _after(LAUNCHED, APPEARED, READY)


def test_an_order_ends_the_parking() -> None:
    """What is not wanted any more does not wait for anything."""
    down = _after(LAUNCHED, APPEARED, (2.0, Ended(78)), (3.0, Want(Wanted.DRAIN)))

    assert (down.child.state, down.child.is_settled) == (S.DOWN, True)


def test_a_child_that_never_becomes_ready_is_hopeless_after_some_tries_and_goes_on() -> None:
    """Five starts, whether they failed before or after its process appeared; then a sixth."""
    child, now = _after(LAUNCHED).child, 0.0
    starts = 1
    for process_appears in itertools.cycle([True, False]):
        if process_appears:
            child = decide(child, Appeared(), now=now, draw=0.5).child
        child = decide(child, Ended(1), now=now, draw=0.5).child
        if child.is_hopeless:
            break
        now = child.act_at
        child = decide(child, Tick(), now=now, draw=0.5).child
        starts += 1

    assert starts == POLICY.first_tries
    assert child.state is S.BACKOFF


TALKATIVE = ChildPolicy(drain_s=600.0, stop_s=10.0, silent_s=30.0, doubt_s=5.0)
SPOKE = (10.0, Spoke())


def test_a_child_that_says_nothing_for_too_long_is_killed_and_started_again() -> None:
    """It is doubted first: what it said while we were busy may still be unread."""
    doubted = _after(LAUNCHED, APPEARED, READY, SPOKE, (40.0, Tick()), policy=TALKATIVE)
    killed = decide(doubted.child, Tick(), now=45.0, draw=0.5)
    ended = decide(killed.child, Ended(), now=45.1, draw=0.5)

    assert (doubted.child.state, doubted.effects) == (S.READY, ())
    assert doubted.child.wakes_at == 45.0
    assert (killed.child.state, killed.effects) == (S.KILLED, (Effect.KILL,))
    assert not killed.child.forced
    assert ended.child.state is S.BACKOFF


def test_a_word_ends_the_doubt() -> None:
    """What is heard in the last moment counts from then on."""
    heard = _after(
        LAUNCHED, APPEARED, READY, SPOKE, (40.0, Tick()), (44.0, Spoke()), policy=TALKATIVE
    )

    assert (heard.child.doubted, heard.child.wakes_at) == (False, 74.0)


def test_nobody_is_killed_by_a_supervisor_that_was_away() -> None:
    """A machine that slept, or a loop that lagged, looks too late, and begins to doubt anew."""
    doubted = _after(LAUNCHED, APPEARED, READY, SPOKE, (40.0, Tick()), policy=TALKATIVE)

    woken = decide(doubted.child, Tick(), now=4000.0, draw=0.5)

    assert (woken.child.state, woken.effects, woken.child.wakes_at) == (S.READY, (), 4005.0)


def test_a_child_that_hangs_while_it_drains_is_killed() -> None:
    """Its jobs go on in their shims, and nobody waits ten minutes for it."""
    doubted = _after(
        LAUNCHED,
        APPEARED,
        READY,
        SPOKE,
        (11.0, Want(Wanted.DRAIN)),
        (40.0, Tick()),
        policy=TALKATIVE,
    )
    killed = decide(doubted.child, Tick(), now=45.0, draw=0.5)

    assert (killed.child.state, killed.effects) == (S.KILLED, (Effect.KILL,))
    assert killed.child.forced
    assert decide(killed.child, Ended(), now=46.0, draw=0.5).child.is_settled


def test_a_program_that_tells_nothing_is_not_killed_for_it() -> None:
    """The server says nothing for days."""
    assert _after(LAUNCHED, APPEARED, READY, policy=POLICY).child.wakes_at == math.inf


def test_the_first_word_has_its_own_deadline() -> None:
    """A child that hangs before it ever spoke is found, too; one with much to do gets the time."""
    policy = ChildPolicy(silent_s=30.0, first_word_s=120.0, doubt_s=5.0)
    doubted = _after(LAUNCHED, APPEARED, READY, (121.0, Tick()), policy=policy)
    killed = decide(doubted.child, Tick(), now=126.0, draw=0.5)

    assert (doubted.child.doubted, doubted.effects) == (True, ())
    assert killed.effects == (Effect.KILL,)


def test_the_silence_of_a_dead_child_is_forgotten() -> None:
    """Its replacement begins with nobody's doubt."""
    ended = _after(LAUNCHED, APPEARED, READY, SPOKE, (39.0, Ended(1)), policy=TALKATIVE)

    assert (ended.child.silent_at, ended.child.doubted) == (math.inf, False)
