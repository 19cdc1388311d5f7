"""How far attempts say that they are: the last word of each, beside its row."""

from collections.abc import Iterable
from typing import Final

from pydantic_core import to_json

from orchestrator.protocol.base import moment
from orchestrator.protocol.views import ProgressView
from orchestrator.protocol.wire import Progress
from orchestrator.server.facts import JobChanged
from orchestrator.server.operations.records import Held
from orchestrator.server.store.interface import Transaction

_SAVE: Final = """
    UPDATE attempt SET progress = :progress, progress_seq = :seq
    WHERE job_id = :job_id AND number = :number AND session_id = :session_id AND outcome IS NULL
        AND progress_seq < :seq
"""


def save_progress(tx: Transaction, session_id: str, told: Iterable[tuple[Held, Progress]]) -> None:
    """Keep the latest word of each attempt; an older one that comes late changes nothing."""
    latest: dict[tuple[str, int], tuple[Held, Progress]] = {}
    for held, event in sorted(told, key=lambda one: one[1].seq):
        latest[event.job_id, event.attempt] = (held, event)
    for held, event in latest.values():
        view = ProgressView(
            percent=event.percent,
            message=event.message,
            counters=event.counters,
            at=moment(held.believed(event.at_us, now_us=tx.now_us)),
        )
        kept = tx.execute(
            _SAVE,
            job_id=held.job.id,
            number=held.attempt.number,
            session_id=session_id,
            seq=event.seq,
            progress=to_json(view).decode(),
        )
        if kept:
            tx.announce(JobChanged(held.job.id))
