"""What an order for many jobs can be given to, and what its token stands for."""

import pytest

from orchestrator.core.bulk import APPLICABLE, Preview, previewed
from orchestrator.core.job_lifecycle import PENDING, TERMINAL
from orchestrator.protocol.words import BulkAction, JobState

PREVIEW = Preview("job_" + "0" * 25 + "7", 1_800_000_000_000_000, 12)


def test_every_order_is_for_jobs_that_can_be_given_it() -> None:
    """What is over is only repeated or deleted, what has begun only cancelled."""
    assert set(APPLICABLE) == set(BulkAction)
    assert APPLICABLE[BulkAction.RETRY] == APPLICABLE[BulkAction.DELETE] == TERMINAL
    assert not APPLICABLE[BulkAction.CANCEL] & TERMINAL
    assert APPLICABLE[BulkAction.PRIORITY] == APPLICABLE[BulkAction.QUEUE] == PENDING
    assert APPLICABLE[BulkAction.HOLD] | {JobState.HELD} == PENDING


def test_a_token_stands_for_what_was_counted() -> None:
    """Set, moment and count come back from it, and it is good for that order alone."""
    token = PREVIEW.token("cancel all")

    assert previewed(token, "cancel all") == PREVIEW
    assert previewed(token, "delete all") is None


@pytest.mark.parametrize("token", ["", "x", "0.0.0.0", PREVIEW.token("a").replace(".12.", ".13.")])
def test_what_is_no_token_stands_for_nothing(token: str) -> None:
    """A text that was never given out, or was altered, is told from one."""
    assert previewed(token, "a") is None
