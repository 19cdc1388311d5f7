"""What a unique job does in the face of others with its key."""

import pytest

from orchestrator.core.job_lifecycle import PENDING, TERMINAL
from orchestrator.core.unique import OPEN, Other, Rule, Verdict, settle
from orchestrator.protocol.words import JobState, OnConflict

S = JobState
NOW = 1_000
QUEUED, RUNNING = Other("q", S.QUEUED, 900), Other("r", S.RUNNING, 10)
DONE, FAILED = Other("d", S.SUCCEEDED, 950), Other("f", S.FAILED, 960)
RETURN, REFUSE, REPLACE = OnConflict


def _settled(rule: Rule, *others: Other) -> Verdict:
    return settle(rule, others, now_us=NOW)


@pytest.mark.parametrize("how", OnConflict)
@pytest.mark.parametrize("others", [(), (DONE, FAILED)])
def test_what_is_over_is_in_nobodys_way(how: OnConflict, others: tuple[Other, ...]) -> None:
    """Unless somebody says otherwise, only what is not over counts."""
    assert _settled(Rule(on_conflict=how), *others) == Verdict()


@pytest.mark.parametrize("state", sorted(OPEN))
def test_each_state_that_is_not_over_is_in_the_way(state: JobState) -> None:
    """It is the answer, or the reason of a refusal; it gives way only if it has not begun."""
    other = Other("o", state, 1)

    assert _settled(Rule(on_conflict=RETURN), other) == Verdict(other)
    assert _settled(Rule(on_conflict=REFUSE), other) == Verdict(other, refused=True)
    replaced = _settled(Rule(on_conflict=REPLACE), other)
    begun = Verdict(other, refused=True)
    assert replaced == (Verdict(giving_way=(other,)) if state in PENDING else begun)


@pytest.mark.parametrize(
    ("rule", "others", "verdict"),
    [
        # A state that is out of scope does not count.
        (Rule(frozenset({S.QUEUED})), (RUNNING, DONE), Verdict()),
        (Rule(frozenset({S.QUEUED})), (RUNNING, QUEUED), Verdict(QUEUED)),
        # What is over counts as long as its window, since its submit; without one, for ever.
        (Rule(frozenset({S.SUCCEEDED}), window_us=51), (DONE,), Verdict(DONE)),
        (Rule(frozenset({S.SUCCEEDED}), window_us=50), (DONE,), Verdict()),
        (Rule(frozenset({S.SUCCEEDED})), (DONE, FAILED), Verdict(DONE)),
        # What is not over counts, however long ago it was submitted.
        (Rule(OPEN, window_us=1), (RUNNING,), Verdict(RUNNING)),
        # What is not over is named first, then what is newest.
        (Rule(OPEN | {S.SUCCEEDED}), (DONE, RUNNING, QUEUED), Verdict(QUEUED)),
        # One that has begun keeps all of them.
        (Rule(on_conflict=REPLACE), (QUEUED, RUNNING), Verdict(RUNNING, refused=True)),
        (
            Rule(OPEN | {S.SUCCEEDED}, on_conflict=REPLACE),
            (QUEUED, DONE),
            Verdict(DONE, refused=True),
        ),
    ],
)
def test_scope_and_window_say_what_counts(
    rule: Rule, others: tuple[Other, ...], verdict: Verdict
) -> None:
    """A table of cases: what is in the way, and what is done."""
    assert _settled(rule, *others) == verdict
    assert _settled(rule, *reversed(others)) == verdict


def test_open_is_all_that_is_not_over() -> None:
    """The two together are all states."""
    assert frozenset(JobState) == OPEN | TERMINAL
