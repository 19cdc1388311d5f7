"""What a database says of jobs, attempts and timelines, as the model has it."""

from typing import Any

from orchestrator.server.store.interface import Reader
from tests.integration.store.model import Pair

Timelines = dict[str, list[tuple[int, str]]]


def everything(reader: Reader) -> tuple[dict[str, Any], dict[Pair, Any], Timelines]:
    """Return the jobs and the attempts by their names, and the lines of each job."""
    jobs = reader.tuples(
        "SELECT id, state, reason, attempt, session_id, failures, lost, due_us, rank FROM job"
    )
    attempts = reader.tuples(
        "SELECT job_id, number, session_id, claim_number, started_us IS NOT NULL, outcome, reason, "
        "late_result IS NOT NULL FROM attempt"
    )
    timelines: Timelines = {}
    for job_id, *line in reader.tuples("SELECT job_id, seq, type FROM job_event ORDER BY seq"):
        timelines.setdefault(job_id, []).append((line[0], line[1]))
    return (
        {one[0]: one[1:] for one in jobs},
        {(one[0], one[1]): one[2:] for one in attempts},
        timelines,
    )
