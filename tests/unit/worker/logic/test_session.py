"""A worker's session: its table, the numbering of its claims, and what each refusal means."""

from itertools import product

import pytest

from orchestrator.kernel import errors
from orchestrator.kernel.errors import IllegalTransition, OrchestratorError
from orchestrator.protocol.limits import CLAIM_BATCH
from worker.logic.session import (
    TRANSITIONS,
    Claims,
    Next,
    SessionEvent,
    SessionState,
    after,
    next_state,
)

SESSION = "session_" + "0" * 26


@pytest.mark.parametrize(("state", "event"), list(product(SessionState, SessionEvent)))
def test_what_is_not_in_the_table_cannot_happen(state: SessionState, event: SessionEvent) -> None:
    """Every pair either has its row or is refused."""
    if (state, event) in TRANSITIONS:
        assert next_state(state, event) is TRANSITIONS[state, event]
    else:
        with pytest.raises(IllegalTransition):
            next_state(state, event)


def test_claims_are_numbered_from_one() -> None:
    """Each answered claim raises the number by one."""
    claims = Claims(SESSION)

    numbers = []
    for _ in range(3):
        numbers.append(claims.ask(slots=2, wait_s=25).number)
        claims.close()

    assert numbers == [1, 2, 3]
    assert claims.seen == 3


def test_a_claim_whose_answer_was_lost_is_repeated_word_for_word() -> None:
    """Until an answer arrives the same number is asked for, whatever is free by then."""
    claims = Claims(SESSION)

    first = claims.ask(slots=2, wait_s=25)
    again = claims.ask(slots=5, wait_s=25)

    assert again == first
    assert claims.seen == 0


def test_an_unwanted_answer_counts_as_seen() -> None:
    """A claim that is given up is named in the heartbeat, so that its attempts go back."""
    claims = Claims(SESSION)
    claims.ask(slots=2, wait_s=25)

    claims.close()
    claims.close()

    assert claims.seen == 1


def test_a_claim_asks_for_no_more_than_a_batch() -> None:
    """However many slots are free, one reply stays bounded."""
    assert Claims(SESSION).ask(slots=1000, wait_s=0).slots == CLAIM_BATCH


@pytest.mark.parametrize(
    ("error", "opening", "within"),
    [
        (errors.ServerUnreachable("x"), Next.AGAIN, Next.AGAIN),
        (errors.Unavailable("x"), Next.AGAIN, Next.AGAIN),
        (errors.Overloaded("x", retry_after_s=2), Next.AGAIN, Next.AGAIN),
        (errors.PeerBroken("x"), Next.AGAIN, Next.AGAIN),
        (errors.Refused("x"), Next.AGAIN, Next.REOPEN),
        (errors.LeaseLost("x"), Next.AGAIN, Next.REOPEN),
        (errors.NotFound("x"), Next.AGAIN, Next.REOPEN),
        (errors.Forbidden("x"), Next.LEAVE, Next.REOPEN),
        (errors.Unauthenticated("x"), Next.LEAVE, Next.LEAVE),
        (errors.VersionUnsupported("x"), Next.LEAVE, Next.LEAVE),
        (errors.RequestInvalid("x"), Next.LEAVE, Next.AGAIN),
    ],
)
def test_every_error_has_its_answer(error: OrchestratorError, opening: Next, within: Next) -> None:
    """What may pass is asked again, a lost session is replaced, a wrong token ends the worker."""
    assert after(error, opening=True) is opening
    assert after(error, opening=False) is within
