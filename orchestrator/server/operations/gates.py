"""Show a closed gate: who holds it, who closed it, when it opens."""

from typing import Final

from orchestrator.core.gates import Gate, gate_words
from orchestrator.protocol.base import moment_or_none
from orchestrator.protocol.views import GateView
from orchestrator.protocol.words import PendingReason
from orchestrator.server.store.interface import Reader

HOLDERS: Final = 20
"""Shown of a gate: whoever wants more lists the jobs."""
_PAUSED: Final = "SELECT paused_us, paused_by, paused_why FROM queue WHERE name = :name"
_OF_QUEUE: Final = """
    SELECT id FROM job WHERE session_id > '' AND queue = :name LIMIT :most
"""
_OF_KEY: Final = """
    SELECT job.id FROM job JOIN line_key
        ON line_key.kind = 'limit' AND line_key.name = :name AND line_key.line_id = job.line_id
    WHERE job.session_id > '' LIMIT :most
"""


def gate_view(reader: Reader, gate: Gate) -> GateView:
    """Return a closed gate as people are shown it."""
    paused = None
    holders: list[str] = []
    match gate.reason:
        case PendingReason.QUEUE_PAUSED:
            paused = reader.row(_PAUSED, name=gate.name)
        case PendingReason.QUEUE_LIMIT:
            holders = _ids(reader, _OF_QUEUE, gate.name)
        case PendingReason.CONCURRENCY_KEY:
            holders = _ids(reader, _OF_KEY, gate.name)
        case _:
            pass
    return GateView(
        reason=gate.reason,
        name=gate.name,
        limit=gate.limit,
        taken=gate.taken,
        per_s=None if gate.window_us is None else gate.window_us / 1_000_000,
        until=moment_or_none(gate.until_us),
        holders=holders,
        by=None if paused is None else paused["paused_by"],
        at=None if paused is None else moment_or_none(paused["paused_us"]),
        why=None if paused is None else paused["paused_why"],
        words=gate_words(gate),
    )


def _ids(reader: Reader, sql: str, name: str) -> list[str]:
    return sorted(job_id for (job_id,) in reader.tuples(sql, name=name, most=HOLDERS))


def gate_told(gate: GateView) -> str:
    """Return why a closed gate keeps a job back, and what opens it, as a sentence."""
    if gate.reason is PendingReason.QUEUE_PAUSED:
        since = f" since {gate.at:%Y-%m-%d %H:%M:%SZ}" if gate.at else ""
        why = f" ({gate.why})" if gate.why else ""
        resume = f"orchestrator queues resume {gate.name} lets it go on"
        return f"{gate.words}{since} by {gate.by}{why}; {resume}"
    if gate.until is not None:
        return f"{gate.words}; the next one may start at {gate.until:%Y-%m-%d %H:%M:%SZ}"
    held = f" by {', '.join(gate.holders)}" if gate.holders else ""
    return f"{gate.words}{held}"
