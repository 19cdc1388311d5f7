"""Look at a job, its output, its timeline. Nothing here changes anything."""

from collections.abc import Sequence
from typing import Final

from orchestrator.protocol.views import EventView, JobDetail, JobView
from orchestrator.protocol.words import JobState
from orchestrator.server.operations.output import output_state
from orchestrator.server.operations.pending import why_waiting
from orchestrator.server.operations.views import SELECT_JOB, event_view, job_detail, job_view
from orchestrator.server.store.interface import Reader, Row

__all__ = [
    "get_job",
    "list_events",
    "output_state",
    "view_job",
]

_SELECT_DETAIL: Final = SELECT_JOB.replace("SELECT ", "SELECT job_spec.spec, ", 1) + (
    "JOIN job_spec ON job_spec.job_id = job.id WHERE job.id = :job_id"
)
_SELECT_ATTEMPTS: Final = """
    SELECT attempt.number, attempt.outcome, attempt.reason, attempt.message, attempt.exit_code,
        attempt.signal, attempt.pid, attempt.claimed_us, attempt.started_us, attempt.finished_us,
        attempt.missing_bytes, attempt.declared_stdout, attempt.declared_stderr,
        attempt.late_result, attempt.leftovers, attempt.raw_result,
        attempt.progress,
        worker.name AS worker, machine.hostname AS host,
        coalesce(output.stdout_bytes, 0) AS stdout_bytes,
        coalesce(output.stderr_bytes, 0) AS stderr_bytes,
        coalesce(output.dropped_bytes, 0) AS dropped_bytes,
        CASE WHEN output.job_id IS NULL THEN 0 ELSE output.lines END AS lines
    FROM attempt
    LEFT JOIN worker ON worker.id = attempt.worker_id
    LEFT JOIN machine ON machine.id = worker.machine_id
    LEFT JOIN output ON output.job_id = attempt.job_id AND output.attempt = attempt.number
    WHERE attempt.job_id = :job_id ORDER BY attempt.number
"""
_SELECT_EVENTS: Final = """
    SELECT seq, at_us, type, attempt, data FROM job_event
    WHERE job_id = :job_id AND seq > :after ORDER BY seq LIMIT :limit
"""


def get_job(reader: Reader, job_id: str) -> JobDetail | None:
    """Return a job with its spec and attempts, or `None`."""
    row = reader.row(_SELECT_DETAIL, job_id=job_id)
    if row is None:
        return None
    attempts = reader.rows(_SELECT_ATTEMPTS, job_id=job_id)
    return job_detail(row, why_waiting(reader, queued([row])), attempts)


def view_job(reader: Reader, job_id: str) -> JobView | None:
    """Return a job as lists show it, or `None`: cheaper, for those who look often."""
    row = reader.row(f"{SELECT_JOB} WHERE job.id = :job_id", job_id=job_id)
    return None if row is None else job_view(row, why_waiting(reader, queued([row])))


def queued(rows: Sequence[Row]) -> set[int]:
    """Return the lines in which the queued ones of some jobs are."""
    return {row["line_id"] for row in rows if row["state"] == JobState.QUEUED}


def list_events(reader: Reader, job_id: str, *, after: int, limit: int) -> list[EventView]:
    """Return the lines of a job's timeline behind `after`, in order and without gaps."""
    rows = reader.rows(_SELECT_EVENTS, job_id=job_id, after=after, limit=limit)
    return [event_view(row) for row in rows]
