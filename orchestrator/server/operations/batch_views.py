"""Look at batches: one, many, their jobs. Nothing here changes anything."""

from collections.abc import Sequence
from typing import Any, Final

from pydantic_core import from_json

from orchestrator.core.job_lifecycle import TERMINAL
from orchestrator.kernel.errors import NotFound
from orchestrator.protocol.base import moment, moment_or_none
from orchestrator.protocol.batches import BatchReply, BatchView
from orchestrator.protocol.views import JobView
from orchestrator.protocol.words import BatchState, JobState
from orchestrator.server.operations.batch_rows import COUNT_FAILED, COUNT_UNMENDED
from orchestrator.server.operations.jobs import queued
from orchestrator.server.operations.pending import why_waiting
from orchestrator.server.operations.views import SELECT_JOB, job_view
from orchestrator.server.store.interface import Reader, Row

SELECT_BATCH: Final = f"""
    SELECT id, owner, name, max_fails, created_us, closed_us, stopped_us, stopped_by,
        {COUNT_FAILED} AS failed, {COUNT_UNMENDED} AS unmended
    FROM batch
"""
_SELECT_ONE: Final = f"{SELECT_BATCH} WHERE id = :id"
_SELECT_UNCOUNTED: Final = """
    SELECT id, owner, defaults, closed_us, stopped_us, stopping_before FROM batch WHERE id = :id
"""
_COUNT: Final = """
    SELECT state, count(*) FROM job WHERE batch_id = :batch_id GROUP BY state
"""


def defaults_of(reader: Reader, batch_id: str) -> dict[str, Any]:
    """Return what the items of a batch leave out."""
    found: dict[str, Any] = from_json(batch_row(reader, batch_id)["defaults"])
    return found


def get_batch(reader: Reader, batch_id: str) -> BatchView:
    """Return a batch as it is now."""
    return _view(reader, _row(reader, _SELECT_ONE, batch_id))


def list_batches(
    reader: Reader, *, cursor: str | None, limit: int
) -> tuple[list[BatchView], str | None]:
    """Return the newest batches first, and behind which one to go on if there are more."""
    where = "" if cursor is None else "WHERE id < :cursor"
    params = {} if cursor is None else {"cursor": cursor}
    rows = reader.rows(
        f"{SELECT_BATCH} {where} ORDER BY id DESC LIMIT :limit", **params, limit=limit + 1
    )
    following = rows[limit - 1]["id"] if len(rows) > limit else None
    return [_view(reader, row) for row in rows[:limit]], following


def batch_jobs(
    reader: Reader, batch_id: str, *, states: Sequence[JobState], cursor: str | None, limit: int
) -> tuple[list[JobView], str | None]:
    """Return the jobs of a batch in the order of its items, and behind which one to go on."""
    batch_row(reader, batch_id)
    names = [f"state_{index}" for index in range(len(states))]
    among = f"AND job.state IN ({', '.join(f':{name}' for name in names)})" if names else ""
    rows = reader.rows(
        f"{SELECT_JOB} WHERE job.batch_id = :batch_id AND job.id > :cursor {among} "
        "ORDER BY job.id LIMIT :limit",
        batch_id=batch_id,
        cursor=cursor or "",
        limit=limit + 1,
        **dict(zip(names, map(str, states), strict=True)),
    )
    page = rows[:limit]
    waiting = why_waiting(reader, queued(page))
    following = page[-1]["id"] if len(rows) > limit else None
    return [job_view(row, waiting) for row in page], following


def no_batch(batch_id: str) -> NotFound:
    """Return the answer for a batch that is not there."""
    return NotFound(f"there is no batch {batch_id}", hint="orchestrator batches list shows them")


def batch_row(reader: Reader, batch_id: str) -> Row:
    """Return the row of a batch, in which nothing is counted, or refuse what is not there."""
    return _row(reader, _SELECT_UNCOUNTED, batch_id)


def _row(reader: Reader, select: str, batch_id: str) -> Row:
    row = reader.row(select, id=batch_id)
    if row is None:
        raise no_batch(batch_id)
    return row


def batch_state(row: Row) -> BatchState:
    """Return whether a batch takes more jobs, or was ended."""
    if row["stopped_us"] is not None:
        return BatchState.CANCELLED
    return BatchState.OPEN if row["closed_us"] is None else BatchState.CLOSED


def _view(reader: Reader, row: Row) -> BatchView:
    return BatchView(**_fields(reader, row))


def batch_reply(
    reader: Reader, batch_id: str, job_ids: Sequence[str] = (), *, more: bool = False
) -> BatchReply:
    """Return a batch as it is now, with the jobs that were just added to it."""
    fields = _fields(reader, _row(reader, _SELECT_ONE, batch_id))
    return BatchReply(**fields, job_ids=list(job_ids), more=more)


def _fields(reader: Reader, row: Row) -> dict[str, Any]:
    counts = {JobState(state): n for state, n in reader.tuples(_COUNT, batch_id=row["id"])}
    state = batch_state(row)
    done = state is not BatchState.OPEN and counts.keys() <= TERMINAL
    is_well = not row["unmended"] and counts.keys() <= {JobState.SUCCEEDED, JobState.FAILED}
    return {
        "id": row["id"],
        "name": row["name"],
        "owner": row["owner"],
        "state": state,
        "max_fails": row["max_fails"],
        "created_at": moment(row["created_us"]),
        "closed_at": moment_or_none(row["closed_us"]),
        "stopped_at": moment_or_none(row["stopped_us"]),
        "stopped_by": row["stopped_by"],
        "jobs": sum(counts.values()),
        "counts": dict(sorted(counts.items())),
        "failed": row["failed"],
        "repeatable": row["unmended"],
        "done": done,
        "succeeded": done and is_well,
    }
