"""Rows as people are shown them."""

from typing import Any, Final

from pydantic_core import from_json

from orchestrator.core.lease import OFFLINE_US
from orchestrator.protocol.base import moment, moment_or_none
from orchestrator.protocol.views import AttemptView, EventView, JobDetail, JobView, ProgressView
from orchestrator.protocol.words import JobState, Outcome, PendingReason
from orchestrator.server.store.interface import Row

SELECT_JOB: Final = f"""
    SELECT job.id, job.kind, job.name, job.state, job.reason, job.pending_reason, job.message,
        job.priority, job.attempt, job.exit_code, job.signal, job.result, job.owner, job.labels,
        job.created_us, job.run_at_us, job.started_us, job.finished_us, job.line_id, job.queue,
        job.retry_of, job.summary, job.event_seq, job.expires_us, job.deadline_us,
        job.batch_id, job.schedule_id, latest.progress, worker.name AS worker,
        session.ended_us AS session_ended_us,
        (SELECT now_lease_us FROM lease_clock WHERE one = 1) - session.renewed_lease_us
            AS silent_us,
        CASE WHEN job.state = '{JobState.CANCELLED}' THEN (
            SELECT count(*) FROM attempt
            WHERE attempt.job_id = job.id AND attempt.number = job.attempt
                AND (attempt.outcome = '{Outcome.LOST}'
                    OR attempt.outcome = '{Outcome.INDETERMINATE}')
                AND attempt.late_result IS NULL
        ) END AS unconfirmed
    FROM job LEFT JOIN worker ON worker.id = job.worker_id
    LEFT JOIN session ON session.id = job.session_id
    LEFT JOIN attempt AS latest
        ON latest.job_id = job.id AND latest.number = job.attempt AND latest.outcome IS NULL
"""


def job_view(row: Row, waiting: dict[int, PendingReason]) -> JobView:
    """Return a job of `SELECT_JOB`; `waiting` tells why queued ones are, by line."""
    return JobView(**_job_fields(row, waiting))


def job_detail(row: Row, waiting: dict[int, PendingReason], attempts: list[Row]) -> JobDetail:
    """Return a job with its spec (column `spec`) and its attempts."""
    return JobDetail(
        **_job_fields(row, waiting),
        spec=from_json(row["spec"]),
        attempts=[attempt_view(attempt) for attempt in attempts],
    )


def _job_fields(row: Row, waiting: dict[int, PendingReason]) -> dict[str, Any]:
    pending = row["pending_reason"]
    if row["state"] == JobState.QUEUED:
        pending = waiting[row["line_id"]]
    return {
        "id": row["id"],
        "kind": row["kind"],
        "name": row["name"],
        "state": row["state"],
        "reason": row["reason"],
        "pending_reason": pending,
        "message": row["message"],
        "queue": row["queue"],
        "priority": row["priority"],
        "attempt": row["attempt"],
        "exit_code": row["exit_code"],
        "signal": row["signal"],
        "result": None if row["result"] is None else from_json(row["result"]),
        "owner": row["owner"],
        "labels": from_json(row["labels"]),
        "created_at": moment(row["created_us"]),
        "run_at": moment_or_none(row["run_at_us"]),
        "expires_at": moment_or_none(row["expires_us"]),
        "deadline_at": moment_or_none(row["deadline_us"]),
        "batch_id": row["batch_id"],
        "schedule_id": row["schedule_id"],
        "started_at": moment_or_none(row["started_us"]),
        "finished_at": moment_or_none(row["finished_us"]),
        "worker": row["worker"],
        "worker_offline": _is_offline(row),
        "confirmed": None if row["unconfirmed"] is None else row["unconfirmed"] == 0,
        "retry_of": row["retry_of"],
        "progress": _progress(row),
        "summary": row["summary"] or "",
        "version": row["event_seq"],
    }


def _progress(row: Row) -> ProgressView | None:
    told = row["progress"]
    return None if told is None else ProgressView.model_validate_json(told)


def _is_offline(row: Row) -> bool:
    """Tell whether a job is in the hands of a worker of whom nobody has heard for a while."""
    if row["silent_us"] is None:
        return False
    return row["session_ended_us"] is not None or row["silent_us"] >= OFFLINE_US


def attempt_view(row: Row) -> AttemptView:
    """Return one try, with the sizes of its output."""
    late = row["late_result"]
    return AttemptView(
        number=row["number"],
        worker=row["worker"],
        host=row["host"],
        outcome=row["outcome"],
        reason=row["reason"],
        message=row["message"],
        exit_code=row["exit_code"],
        signal=row["signal"],
        pid=row["pid"],
        claimed_at=moment(row["claimed_us"]),
        started_at=moment_or_none(row["started_us"]),
        finished_at=moment_or_none(row["finished_us"]),
        stdout_bytes=row["stdout_bytes"],
        stderr_bytes=row["stderr_bytes"],
        output_dropped_bytes=row["dropped_bytes"],
        output_missing_bytes=row["missing_bytes"],
        declared_stdout_bytes=row["declared_stdout"],
        declared_stderr_bytes=row["declared_stderr"],
        lines=row["lines"],
        leftovers=row["leftovers"],
        late_result=None if late is None else from_json(late),
        progress=_progress(row),
        raw_result=None if row["raw_result"] is None else from_json(row["raw_result"]),
    )


def event_view(row: Row) -> EventView:
    """Return one line of a timeline."""
    return EventView(
        seq=row["seq"],
        at=moment(row["at_us"]),
        type=row["type"],
        attempt=row["attempt"],
        data={} if row["data"] is None else from_json(row["data"]),
    )
