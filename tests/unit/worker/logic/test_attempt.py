"""The life of an attempt as its worker sees it: the table is total, and orders win over plans."""

from dataclasses import replace
from itertools import product

import pytest

from orchestrator.kernel.errors import IllegalTransition
from orchestrator.protocol.wire import Ended, Released, Started
from orchestrator.protocol.words import Outcome, Reason
from worker.logic.attempt import (
    Abandon,
    Acknowledged,
    Alive,
    Attempt,
    Effect,
    Happening,
    Interrupt,
    Key,
    Over,
    Prepared,
    Recorded,
    Say,
    Settle,
    Start,
    StopAsked,
    Unaccounted,
    Unprepared,
    Withdraw,
    Withdrawn,
    decide,
)
from worker.logic.lifecycle import (
    OCCUPYING,
    PHASES,
    TRANSITIONS,
    AttemptEvent,
    AttemptState,
    next_state,
)
from worker.logic.outcome import End
from worker.records import Cause, Log

S = AttemptState
E = AttemptEvent
JOB = "job_" + "0" * 26
KEY = Key(JOB, 2)
LOG = Log(30, b"\xaa" * 32, stdout_bytes=9, stderr_bytes=4)
OVER = Over(End(outcome=Outcome.FAILED, at_us=9, reason=Reason.EXIT_NONZERO, exit_code=7), LOG)
ENDED = Ended(
    job_id=JOB,
    attempt=2,
    at_us=9,
    outcome=Outcome.FAILED,
    reason=Reason.EXIT_NONZERO,
    exit_code=7,
    output_length=30,
    output_digest="aa" * 32,
    stdout_bytes=9,
    stderr_bytes=4,
)
CANCEL = StopAsked(Cause.CANCELLED)
PREEMPT = StopAsked(Cause.PREEMPTED)
HAPPENINGS: dict[AttemptEvent, Happening] = {
    E.PREPARED: Prepared(),
    E.ANNOUNCED: Prepared(4),
    E.RECORDED: Recorded(),
    E.REFUSED: Unprepared(Reason.INPUT_UNAVAILABLE, "gone", 5),
    E.WITHDRAWN: Withdrawn(),
    E.BEGAN: Alive(5, 4711),
    E.OVER: OVER,
    E.VANISHED: Unaccounted(5, LOG),
    E.ABANDON: Abandon(),
    E.ACKNOWLEDGED: Acknowledged(),
}


def _attempt(state: AttemptState = S.PREPARING, **fields: object) -> Attempt:
    return replace(Attempt(KEY, grace_s=3.0, state=state), **fields)  # type: ignore[arg-type]  # any


def _effects(attempt: Attempt, *happenings: Happening) -> tuple[Attempt, list[Effect]]:
    done: list[Effect] = []
    for happening in happenings:
        attempt, effects = decide(attempt, happening)
        done += effects
    return attempt, done


@pytest.mark.parametrize(("state", "event"), list(product(AttemptState, AttemptEvent)))
def test_what_is_not_in_the_table_cannot_happen(state: AttemptState, event: AttemptEvent) -> None:
    """Every pair of state and event has its row or is refused, by the rules as by the table."""
    attempt = _attempt(state, once=event is E.ANNOUNCED, end=ENDED)
    if (state, event) in TRANSITIONS:
        moved, _ = decide(attempt, HAPPENINGS[event])
        assert moved.state is TRANSITIONS[state, event] is next_state(state, event)
    else:
        with pytest.raises(IllegalTransition, match=f"{state} cannot be {event}"):
            decide(attempt, HAPPENINGS[event])


def test_what_is_settled_is_settled() -> None:
    """The last state has no row, and every other one leads there."""
    assert not [pair for pair in TRANSITIONS if pair[0] is S.SETTLED]
    assert {state for state, _ in TRANSITIONS} == set(S) - {S.SETTLED}
    assert set(TRANSITIONS.values()) == set(S) - {S.PREPARING}


def test_every_state_has_a_phase() -> None:
    """Whatever a new session finds, the server is told how far it is."""
    assert set(PHASES) == set(S)


def test_a_command_that_runs_to_its_end() -> None:
    """Start and end are said once each, in order, and forgetting waits for the server's word."""
    attempt, effects = _effects(_attempt(), Prepared(), Alive(5, 4711), OVER)

    started = Started(job_id=JOB, attempt=2, at_us=5, pid=4711)
    assert effects == [Start(), Say(started), Say(ENDED)]
    assert attempt.state is S.ENDED
    assert _effects(attempt, Acknowledged())[1] == [Settle()]


def test_a_command_that_never_began_is_only_ended() -> None:
    """A missing executable has an end and no start."""
    _, effects = _effects(_attempt(), Prepared(), OVER)

    assert effects == [Start(), Say(ENDED)]


def test_inputs_that_cannot_be_had_fail_the_attempt() -> None:
    """What cannot be prepared ends with its reason, and nothing is started."""
    _, effects = _effects(_attempt(), HAPPENINGS[E.REFUSED])

    [said] = effects
    assert isinstance(said, Say)
    assert isinstance(said.event, Ended)
    assert (said.event.outcome, said.event.reason) == (Outcome.FAILED, Reason.INPUT_UNAVAILABLE)
    assert said.event.message == "gone"


@pytest.mark.parametrize("order", [CANCEL, PREEMPT])
def test_an_order_before_the_start_gives_the_attempt_back(order: StopAsked) -> None:
    """What was stopped while it was prepared never starts, also when preparing had just ended."""
    attempt, effects = _effects(_attempt(), order)
    assert effects == [Withdraw()]

    released = [Say(Released(job_id=JOB, attempt=2))]
    assert _effects(attempt, Withdrawn())[1] == released
    assert _effects(attempt, Prepared())[1] == released


@pytest.mark.parametrize("state", [S.STARTING, S.RUNNING])
def test_an_order_interrupts_what_runs_once(state: AttemptState) -> None:
    """The first order ends the command; a cancel that comes later is only known."""
    attempt, effects = _effects(_attempt(state), PREEMPT, PREEMPT, CANCEL)

    assert effects == [Interrupt(Cause.PREEMPTED, 3.0)]
    assert attempt.state is state
    assert attempt.cancelling


def test_an_order_after_the_end_changes_nothing() -> None:
    """What has ended by itself keeps its end."""
    attempt, effects = _effects(_attempt(S.ENDED), CANCEL)

    assert effects == []
    assert attempt.state is S.ENDED


def test_what_may_run_only_once_waits_for_the_servers_word() -> None:
    """Its start is said before it happens, and happens when the server has it; the pid follows."""
    attempt, effects = _effects(_attempt(once=True), Prepared(4))
    assert effects == [Say(Started(job_id=JOB, attempt=2, at_us=4))]
    assert (attempt.state, attempt.phase, attempt.is_ours) == (S.ANNOUNCED, "granted", True)

    attempt, effects = _effects(attempt, Recorded(), Alive(5, 4711), OVER)

    started = Started(job_id=JOB, attempt=2, at_us=5, pid=4711)
    assert effects == [Start(), Say(started), Say(ENDED)]


@pytest.mark.parametrize(
    ("order", "outcome", "reason"),
    [
        (CANCEL, Outcome.CANCELLED, Reason.CANCELLED_BY_USER),
        (PREEMPT, Outcome.PREEMPTED, Reason.PREEMPTED),
    ],
)
def test_what_was_announced_is_never_given_back(
    order: StopAsked, outcome: Outcome, reason: Reason
) -> None:
    """For the server it has begun: an order before its start ends it, and nothing is started."""
    attempt, effects = _effects(_attempt(S.ANNOUNCED, once=True), order, Recorded())
    assert effects == [Withdraw()]

    _, effects = _effects(attempt, Withdrawn(6, "not begun"))

    ended = Ended(
        job_id=JOB, attempt=2, at_us=6, outcome=outcome, reason=reason, message="not begun"
    )
    assert effects == [Say(ended)]


def test_a_machine_without_room_fails_what_was_announced() -> None:
    """No process could be started: that is said, because giving it back would start it twice."""
    _, effects = _effects(_attempt(S.STARTING, once=True), Withdrawn(6, "no room"))

    [said] = effects
    assert isinstance(said, Say)
    assert isinstance(said.event, Ended)
    assert (said.event.outcome, said.event.reason) == (Outcome.FAILED, Reason.SPAWN_ERROR)


@pytest.mark.parametrize(
    ("state", "ordered", "news"),
    [
        (S.STARTING, [Interrupt(Cause.CANCELLED, 3.0)], OVER),
        (S.RUNNING, [Interrupt(Cause.CANCELLED, 3.0)], OVER),
        (S.RUNNING, [Interrupt(Cause.CANCELLED, 3.0)], Unaccounted(5, LOG)),
    ],
)
@pytest.mark.parametrize("answer", [Abandon(), Acknowledged()])
def test_the_end_of_what_was_taken_from_us_is_said_once(
    state: AttemptState, ordered: list[Effect], news: Happening, answer: Happening
) -> None:
    """A lost lease ends the processes; how they ended is told once, for people to read."""
    attempt, effects = _effects(_attempt(state), Abandon(), Abandon(), CANCEL)
    assert effects == ordered
    assert attempt.state in OCCUPYING

    attempt, [said] = _effects(attempt, news)

    assert isinstance(said, Say)
    assert isinstance(said.event, Ended)
    assert said.event.output_final
    assert (attempt.is_ours, attempt.state in OCCUPYING) == (False, False)
    assert _effects(attempt, answer)[1] == [Settle()]


def test_nobody_asked_for_the_end_of_what_was_taken_from_us() -> None:
    """The late result of a command that we ended ourselves does not speak of a user's cancel."""
    killed = Over(End(Outcome.CANCELLED, 9, Reason.CANCELLED_BY_USER, signal=15), LOG)

    _, effects = _effects(_attempt(S.RUNNING), Abandon(), killed)

    assert isinstance(effects[-1], Say)
    assert isinstance(effects[-1].event, Ended)
    assert effects[-1].event.reason is Reason.CANCELLED_BY_POLICY


@pytest.mark.parametrize(
    ("state", "news"),
    [
        (S.PREPARING, Withdrawn()),
        (S.PREPARING, Prepared()),
        (S.PREPARING, HAPPENINGS[E.REFUSED]),
        (S.ANNOUNCED, Withdrawn()),
    ],
)
def test_what_is_abandoned_before_it_ran_is_ended_in_silence(
    state: AttemptState, news: Happening
) -> None:
    """Nothing ran, so there is nothing to tell; at last it is forgotten."""
    attempt, effects = _effects(_attempt(state), Abandon(), Abandon(), CANCEL)
    assert effects == [Withdraw()]
    assert attempt.state in OCCUPYING

    attempt, effects = _effects(attempt, news)

    assert effects == [Settle()]
    assert attempt.state not in OCCUPYING


def test_a_start_that_overtakes_an_order_is_not_said() -> None:
    """The command of an abandoned attempt may still begin; nobody hears of that."""
    _, effects = _effects(_attempt(S.STARTING), Abandon(), Alive(5, 4711))

    assert not [effect for effect in effects if isinstance(effect, Say)]


def test_what_is_stopped_and_then_abandoned_is_not_interrupted_twice() -> None:
    """The grace of a cancel goes on, and how it ended is said once."""
    _, effects = _effects(_attempt(S.RUNNING), CANCEL, Abandon(), OVER)

    late = Say(ENDED.model_copy(update={"output_final": True}))
    assert effects == [Interrupt(Cause.CANCELLED, 3.0), late]


def test_an_end_that_came_too_late_is_said_once_more() -> None:
    """It may have waited behind output that nobody takes any more; then it is forgotten."""
    attempt, effects = _effects(_attempt(S.RUNNING), OVER, Abandon())

    late = ENDED.model_copy(update={"output_final": True})
    assert effects == [Say(ENDED), Say(late)]
    assert (attempt.state, attempt.is_ours) == (S.LATE, False)
    assert _effects(attempt, Abandon())[1] == [Settle()]


def test_what_was_given_back_and_is_not_ours_is_forgotten_at_once() -> None:
    """Nothing ran, so there is nothing that anybody could learn."""
    _, effects = _effects(_attempt(), Withdrawn(), Abandon())

    assert effects == [Say(Released(job_id=JOB, attempt=2)), Settle()]


@pytest.mark.parametrize(
    ("state", "outcome", "reason"),
    [
        (S.RUNNING, Outcome.LOST, Reason.WORKER_LOST),
        (S.STARTING, Outcome.INDETERMINATE, Reason.OUTCOME_UNKNOWN),
    ],
)
def test_what_vanished_is_not_guessed_at(
    state: AttemptState, outcome: Outcome, reason: Reason
) -> None:
    """A killed shim leaves a lost attempt, or, before the start was seen, an unknown one."""
    _, effects = _effects(_attempt(state), Unaccounted(5, LOG))

    [said] = effects
    assert isinstance(said, Say)
    assert isinstance(said.event, Ended)
    assert (said.event.outcome, said.event.reason) == (outcome, reason)
    assert (said.event.output_length, said.event.output_digest) == (30, "aa" * 32)
    assert (said.event.stdout_bytes, said.event.stderr_bytes) == (9, 4)


def test_an_interrupted_job_is_not_given_an_hour_to_end() -> None:
    """Who stops a worker waits for it: its own grace counts only while it is shorter."""
    patient = replace(_attempt(S.RUNNING), grace_s=3600.0)

    _, preempting = _effects(patient, PREEMPT)
    _, cancelling = _effects(patient, CANCEL)

    assert preempting == [Interrupt(Cause.PREEMPTED, 20.0)]
    assert cancelling == [Interrupt(Cause.CANCELLED, 3600.0)]
