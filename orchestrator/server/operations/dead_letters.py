"""Failed jobs, told apart by what they have in common, and counted.

A job gets its fingerprint in the transaction that lets it fail: from the last line that it wrote,
or, if none is at hand, from its command.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from orchestrator.core.fingerprint import fingerprint, normalised
from orchestrator.protocol.base import moment
from orchestrator.protocol.frames import Frame, FrameType, decode
from orchestrator.protocol.views import DeadLetters
from orchestrator.server.operations.records import JobRecord
from orchestrator.server.store.interface import Reader, Transaction, Value
from orchestrator.server.store.pairs import tuples_of_pairs

_SELECT_ASKED: Final = """
    SELECT job.id, job.kind, job.summary FROM {pairs} JOIN job ON job.id = column1
"""
_MARK: Final = """
    UPDATE job SET fingerprint = :fingerprint, last_words = :last_words WHERE id = :job_id
"""
_SELECT_DEAD: Final = """
    WITH dead AS (
        SELECT fingerprint, count(*) AS jobs, max(id) AS newest_id, min(finished_us) AS first_us,
            max(finished_us) AS last_us
        FROM job WHERE fingerprint IS NOT NULL
        GROUP BY fingerprint ORDER BY max(id) DESC LIMIT :limit
    )
    SELECT dead.fingerprint, dead.jobs, dead.newest_id, dead.first_us, dead.last_us, job.kind,
        job.name, job.reason, job.exit_code, job.last_words, job.summary
    FROM dead JOIN job ON job.id = dead.newest_id
    ORDER BY dead.newest_id DESC
"""
_TAIL_BYTES: Final = 1024
"""Of each stream: a last line that is longer is cut at its beginning."""


def last_line(frames: bytes) -> str:
    """Return the last line with something in it of stderr, or else of stdout."""
    decoded = list(decode(frames))
    return _last_of(decoded, FrameType.ERR) or _last_of(decoded, FrameType.OUT)


def _last_of(frames: Iterable[Frame], stream: FrameType) -> str:
    pieces = [frame.data for frame in frames if frame.type == stream]
    text = b"".join(pieces)[-_TAIL_BYTES:].decode("utf-8", "replace")
    return next((line for line in reversed(text.splitlines()) if line.strip()), "")


def mark_dead(tx: Transaction, failed: Sequence[JobRecord]) -> None:
    """Give failed jobs their fingerprints."""
    jobs = {job.id: job for job in failed}
    marks: list[dict[str, Value]] = []
    for job_id, kind, summary in tuples_of_pairs(tx, _SELECT_ASKED, [(one, 0) for one in jobs]):
        job = jobs[job_id]
        words = normalised(job.last_line)
        common = words or normalised(summary or "")
        name = fingerprint(kind, job.reason, job.exit_code, common)
        marks.append({"job_id": job_id, "fingerprint": name, "last_words": words})
    tx.many(_MARK, marks)


def list_dead(reader: Reader, *, limit: int) -> list[DeadLetters]:
    """Return the groups of failed jobs, the one with the newest job first."""
    return [
        DeadLetters(
            fingerprint=row["fingerprint"],
            jobs=row["jobs"],
            newest_id=row["newest_id"],
            kind=row["kind"],
            name=row["name"],
            reason=row["reason"],
            exit_code=row["exit_code"],
            last_words=row["last_words"],
            summary=row["summary"] or "",
            first_at=moment(row["first_us"]),
            last_at=moment(row["last_us"]),
        )
        for row in reader.rows(_SELECT_DEAD, limit=limit)
    ]
