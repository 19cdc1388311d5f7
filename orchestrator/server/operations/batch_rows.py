"""The row of a batch, as whoever ends a job needs it: it decides nothing about jobs.

How many jobs of a batch failed is counted when one more does; there is no counter to be wrong.
"""

from collections.abc import Iterable
from typing import Final

from orchestrator.protocol.words import JobState, Reason
from orchestrator.server.facts import Scheduled
from orchestrator.server.store.interface import Transaction

POLICY: Final = "policy"
"""Who ends a batch that nobody ended: the rule that its owner made."""
FROM_THE_END: Final = "~"
"""Behind the id of every job."""
_OF_FAILED: Final = f"""
    count(*) FROM job
    WHERE job.batch_id = batch.id AND job.state = '{JobState.FAILED}'
        AND NOT EXISTS (
            SELECT 1 FROM job AS again
            WHERE again.retry_of = job.id AND again.batch_id = job.batch_id
        )
"""
COUNT_UNMENDED: Final = f"(SELECT {_OF_FAILED})"
"""Those that failed, for whatever reason, and were not tried again."""
COUNT_FAILED: Final = f"(SELECT {_OF_FAILED} AND job.reason <> '{Reason.DEPENDENCY_FAILED}')"
"""Those that failed of themselves, and were not tried again."""
_STOP_FAILING: Final = f"""
    UPDATE batch SET stopped_us = :now, stopped_by = '{POLICY}',
        closed_us = coalesce(closed_us, :now), stopping_before = '{FROM_THE_END}'
    WHERE id = :id AND stopped_us IS NULL AND max_fails IS NOT NULL
        AND {COUNT_FAILED} > max_fails
"""


def stop_failing(tx: Transaction, batch_ids: Iterable[str]) -> None:
    """Stop the batches of which too many jobs have failed; the upkeep cancels the rest at once."""
    if tx.many(_STOP_FAILING, [{"id": one, "now": tx.now_us} for one in batch_ids]):
        tx.announce(Scheduled(tx.now_us))
