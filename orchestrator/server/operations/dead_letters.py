"""Failed jobs, told apart by what they have in common, and counted.

A job gets its fingerprint in the transaction that lets it fail: from the last line that it wrote to
stderr, or, if it wrote none that is at hand, from its command.
"""

from collections.abc import Iterable
from typing import Any, Final

from pydantic_core import from_json

from orchestrator.core.fingerprint import LOOKED_AT_CHARS, fingerprint, normalised
from orchestrator.protocol.base import moment
from orchestrator.protocol.frames import FrameType, decode
from orchestrator.protocol.views import DeadLetters
from orchestrator.server.operations.records import JobRecord
from orchestrator.server.store.interface import Reader, Transaction

_SELECT_SPEC: Final = "SELECT spec FROM job_spec WHERE job_id = :job_id"
_SELECT_KIND: Final = "SELECT kind FROM job WHERE id = :job_id"
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
        job.name, job.reason, job.exit_code, job.last_words
    FROM dead JOIN job ON job.id = dead.newest_id
    ORDER BY dead.newest_id DESC
"""
_TAIL_BYTES: Final = 1024
"""Of stderr: a last line that is longer is cut at its beginning."""


def last_line(frames: bytes) -> str:
    """Return the last line with something in it that encoded frames hold of stderr."""
    pieces = [frame.data for frame in decode(frames) if frame.type == FrameType.ERR]
    text = b"".join(pieces)[-_TAIL_BYTES:].decode("utf-8", "replace")
    return next((line for line in reversed(text.splitlines()) if line.strip()), "")


def mark_dead(tx: Transaction, failed: Iterable[JobRecord]) -> None:
    """Give failed jobs their fingerprints."""
    marks = []
    for job in failed:
        kind = tx.tuples(_SELECT_KIND, job_id=job.id)[0][0]
        words = normalised(job.last_line) or normalised(_asked(tx, job.id))
        name = fingerprint(kind, job.reason, job.exit_code, words)
        marks.append({"job_id": job.id, "fingerprint": name, "last_words": words})
    tx.many(_MARK, marks)


def _asked(tx: Transaction, job_id: str) -> str:
    """Return what a job was to run, in a line: as much of it as is looked at."""
    found = tx.tuples(_SELECT_SPEC, job_id=job_id)
    params: dict[str, Any] = from_json(found[0][0])["params"] if found else {}
    argv = params.get("argv")
    if isinstance(argv, list):
        return " ".join(argv[:LOOKED_AT_CHARS])
    return str(params.get("script") or "")


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
            first_at=moment(row["first_us"]),
            last_at=moment(row["last_us"]),
        )
        for row in reader.rows(_SELECT_DEAD, limit=limit)
    ]
