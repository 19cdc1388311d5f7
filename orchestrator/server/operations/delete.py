"""Forget a finished job because somebody says so, before its time is over."""

import contextlib
from collections.abc import Iterable
from typing import Final

from orchestrator.core.job_lifecycle import TERMINAL
from orchestrator.kernel.errors import IllegalTransition, NotFound
from orchestrator.protocol.words import JobState
from orchestrator.server.operations.cancel import not_found
from orchestrator.server.store.interface import Reader, Transaction

_SELECT: Final = "SELECT state FROM job WHERE id = :job_id"
_DELETE: Final = "DELETE FROM job WHERE id = :job_id AND finished_us IS NOT NULL"
_SELECT_DEPENDENT: Final = """
    SELECT job_id FROM job_dependency WHERE parent_id = :job_id AND failure IS NULL LIMIT 1
"""


def require_over(reader: Reader, job_id: str) -> None:
    """Refuse a job that is not there, or not over: what can still happen is not forgotten."""
    found = reader.tuples(_SELECT, job_id=job_id)
    if not found:
        raise not_found(job_id)
    state = JobState(found[0][0])
    if state not in TERMINAL:
        raise IllegalTransition(
            f"{job_id} is {state}, and only what is over can be deleted",
            hint=f"cancel it first: orchestrator jobs cancel {job_id}",
        )
    needed = reader.tuples(_SELECT_DEPENDENT, job_id=job_id)
    if needed:
        raise IllegalTransition(
            f"{needed[0][0]} still depends on {job_id}",
            hint="in a moment it will not any more: try again",
        )


def deletable(reader: Reader, job_ids: Iterable[str]) -> list[str]:
    """Return those that can be deleted: what can be once, can be for ever.

    What is over stays over, and nothing comes to depend on it any more.
    """
    found = []
    for job_id in job_ids:
        with contextlib.suppress(NotFound, IllegalTransition):
            require_over(reader, job_id)
            found.append(job_id)
    return found


def delete(tx: Transaction, job_id: str) -> None:
    """Delete a finished job with everything of its in the database; its files are gone already."""
    require_over(tx, job_id)
    tx.execute(_DELETE, job_id=job_id)
