"""What dependencies mean for a job, and circles among the items of a batch."""

import itertools

import pytest

from orchestrator.core.dependencies import BLAME_CHARS, GRAVITY, Verdict, blame, circle, verdict
from orchestrator.core.job_lifecycle import TERMINAL
from orchestrator.protocol.words import JobState, OnFailure, WaitsFor

EVERY = list(itertools.product(JobState, WaitsFor, OnFailure))
ON_FAILURE = {
    OnFailure.FAIL: Verdict.FAIL,
    OnFailure.CONTINUE: Verdict.MET,
    OnFailure.HOLD: Verdict.HOLD,
}


@pytest.mark.parametrize(("state", "waits_for", "on_failure"), EVERY)
def test_each_state_of_a_dependency_means_one_thing(
    state: JobState, waits_for: WaitsFor, on_failure: OnFailure
) -> None:
    """Open until it is over; then met, or what its owner said that a failure does."""
    found = verdict(state, waits_for, on_failure)

    if state not in TERMINAL:
        assert found is Verdict.OPEN
    elif state is JobState.SUCCEEDED or waits_for is WaitsFor.FINISH:
        assert found is Verdict.MET
    else:
        assert found is ON_FAILURE[on_failure]


def test_every_verdict_has_its_weight() -> None:
    """A failure weighs more than a hold, and both more than anything that is met."""
    assert sorted(Verdict, key=GRAVITY.__getitem__) == [
        Verdict.OPEN,
        Verdict.MET,
        Verdict.HOLD,
        Verdict.FAIL,
    ]


def test_a_message_tells_both_ends_of_a_chain() -> None:
    """However long a chain is, its last and its first job are named."""
    message = None
    for number in range(100):
        message = blame(f"job {number}", message)

    assert message is not None
    assert len(message) <= BLAME_CHARS
    assert message.startswith("it needs job 99: it needs job 98")
    assert message.endswith("it needs job 0")


@pytest.mark.parametrize(
    ("needs", "found"),
    [
        ([], None),
        ([[], [0], [0, 1]], None),
        ([[0]], [0, 0]),
        ([[1], [0]], [0, 1, 0]),
        ([[], [2], [3], [1]], [1, 2, 3, 1]),
        ([[1, 2], [3], [3], []], None),
        ([[number + 1] for number in range(4_999)] + [[]], None),
    ],
)
def test_a_circle_is_found_with_its_path(needs: list[list[int]], found: list[int] | None) -> None:
    """The path leads from an item over all that it waits for back to it."""
    assert circle(needs) == found
