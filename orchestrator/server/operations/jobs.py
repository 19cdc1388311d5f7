"""Look at jobs: one, many, a timeline. Nothing here changes anything."""

from dataclasses import dataclass
from typing import Final

from pydantic_core import to_json

from orchestrator.protocol.views import EventView, JobDetail, JobView
from orchestrator.protocol.words import JobState
from orchestrator.server.operations.output import output_state
from orchestrator.server.operations.pending import why_waiting
from orchestrator.server.operations.views import SELECT_JOB, event_view, job_detail, job_view
from orchestrator.server.store.interface import Reader, Row, Value

__all__ = [
    "Cursor",
    "JobFilter",
    "get_job",
    "list_events",
    "list_jobs",
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
        attempt.late_result, attempt.leftovers, worker.name AS worker, machine.hostname AS host,
        coalesce(output.stdout_bytes, 0) AS stdout_bytes,
        coalesce(output.stderr_bytes, 0) AS stderr_bytes,
        coalesce(output.dropped_bytes, 0) AS dropped_bytes
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


_HAS_LABEL: Final = """
    (replace(job.labels, :label_first, '') <> job.labels
        OR replace(job.labels, :label_later, '') <> job.labels)
"""
"""Not LIKE, which is blind to case on one database and not on the other."""


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs are wanted; what is not said does not matter. `label` is a key and its value."""

    states: frozenset[JobState] = frozenset()
    kind: str | None = None
    name: str | None = None
    label: tuple[str, str] | None = None
    fingerprint: str | None = None


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a list goes on: behind this job. New jobs never shift the pages."""

    job_id: str


def get_job(reader: Reader, job_id: str) -> JobDetail | None:
    """Return a job with its spec and attempts, or `None`."""
    row = reader.row(_SELECT_DETAIL, job_id=job_id)
    if row is None:
        return None
    attempts = reader.rows(_SELECT_ATTEMPTS, job_id=job_id)
    return job_detail(row, why_waiting(reader, _queued([row])), attempts)


def view_job(reader: Reader, job_id: str) -> JobView | None:
    """Return a job as lists show it, or `None`: cheaper, for those who look often."""
    row = reader.row(f"{SELECT_JOB} WHERE job.id = :job_id", job_id=job_id)
    return None if row is None else job_view(row, why_waiting(reader, _queued([row])))


def list_jobs(
    reader: Reader, wanted: JobFilter, *, cursor: Cursor | None, limit: int
) -> tuple[list[JobView], Cursor | None]:
    """Return the newest jobs first, and where to go on if there are more."""
    conditions, params = _conditions(wanted, cursor)
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    sql = f"{SELECT_JOB} {where} ORDER BY job.id DESC LIMIT :limit"
    rows = reader.rows(sql, **params, limit=limit + 1)
    page = rows[:limit]
    waiting = why_waiting(reader, _queued(page))
    following = Cursor(page[-1]["id"]) if len(rows) > limit else None
    return [job_view(row, waiting) for row in page], following


def _queued(rows: list[Row]) -> set[int]:
    return {row["requirement_id"] for row in rows if row["state"] == JobState.QUEUED}


def _conditions(wanted: JobFilter, cursor: Cursor | None) -> tuple[list[str], dict[str, Value]]:
    conditions: list[str] = []
    params: dict[str, Value] = {}
    if wanted.states:
        names = [f"state_{state}" for state in sorted(wanted.states)]
        conditions.append(f"job.state IN ({', '.join(f':{name}' for name in names)})")
        params |= {name: name.removeprefix("state_") for name in names}
    if wanted.kind is not None:
        conditions.append("job.kind = :kind")
        params["kind"] = wanted.kind
    if wanted.name is not None:
        conditions.append("job.name = :name")
        params["name"] = wanted.name
    if wanted.fingerprint is not None:
        conditions.append("job.fingerprint = :fingerprint")
        params["fingerprint"] = wanted.fingerprint
    if wanted.label is not None:
        conditions.append(_HAS_LABEL)
        params |= _label_texts(*wanted.label)
    if cursor is not None:
        conditions.append("job.id < :before")
        params["before"] = cursor.job_id
    return conditions, params


def _label_texts(key: str, value: str) -> dict[str, Value]:
    """Return what the JSON of the labels must contain to hold this one, as its first or later.

    It is exact, because inside a JSON string every quote has a backslash before it: `{"` and `,"`
    can only begin a key.
    """
    pair = to_json({key: value}).decode()
    return {"label_first": pair[:-1], "label_later": f",{pair[1:-1]}"}


def list_events(reader: Reader, job_id: str, *, after: int, limit: int) -> list[EventView]:
    """Return the lines of a job's timeline behind `after`, in order and without gaps."""
    rows = reader.rows(_SELECT_EVENTS, job_id=job_id, after=after, limit=limit)
    return [event_view(row) for row in rows]
