"""The table of a job's life: what it allows, and that it allows nothing else."""

import itertools

import pytest

from orchestrator.core.job_lifecycle import (
    LIVE,
    PENDING,
    TERMINAL,
    TRANSITIONS,
    JobEvent,
    mermaid,
    next_state,
)
from orchestrator.kernel.errors import IllegalTransition
from orchestrator.protocol.words import JobState

EVERY_PAIR = list(itertools.product(JobState, JobEvent))


@pytest.mark.parametrize(("state", "event"), EVERY_PAIR)
def test_what_is_not_in_the_table_is_refused(state: JobState, event: JobEvent) -> None:
    """Each pair of state and event leads where the table says, or is refused by name."""
    expected = TRANSITIONS.get((state, event))

    if expected is None:
        with pytest.raises(IllegalTransition, match=f"{state} cannot have {event}"):
            next_state(state, event)
    else:
        assert next_state(state, event) is expected


def test_nothing_leaves_a_terminal_state() -> None:
    """A finished job has no rows, so no late report can bring it back."""
    assert not [pair for pair in TRANSITIONS if pair[0] in TERMINAL]


def test_every_state_is_reached_and_every_other_one_is_left() -> None:
    """No state is a dead end but the terminal ones, and none is unreachable."""
    left = {state for state, _ in TRANSITIONS}
    reached = set(TRANSITIONS.values()) | {JobState.SCHEDULED, JobState.BLOCKED, JobState.QUEUED}

    assert left == set(JobState) - TERMINAL
    assert reached == set(JobState)


def test_every_event_is_used() -> None:
    """An event that no state knows would be a word without a meaning."""
    assert {event for _, event in TRANSITIONS} == set(JobEvent)


def test_every_state_that_is_not_terminal_can_be_cancelled() -> None:
    """A cancel has a row from each state that is not at its end."""
    cancels = {JobEvent.CANCELLED, JobEvent.CANCEL_ORDERED, JobEvent.CANCEL_CONFIRMED}

    cancellable = {state for state, event in TRANSITIONS if event in cancels}

    assert cancellable == set(JobState) - TERMINAL


def test_a_state_is_pending_live_waiting_or_terminal() -> None:
    """The groups that the rules use cover the states without overlap."""
    groups = [PENDING, LIVE, TERMINAL, frozenset({JobState.WAITING})]

    assert sum(len(group) for group in groups) == len(JobState)
    assert frozenset().union(*groups) == set(JobState)


def test_the_diagram_draws_every_row() -> None:
    """The diagram of the documentation has one arrow for each row of the table."""
    drawn = mermaid().splitlines()

    assert sum(": " in line for line in drawn) == len(TRANSITIONS)
