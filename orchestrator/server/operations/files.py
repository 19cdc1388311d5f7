"""What the database knows of stored files: their names, sizes, and who may have them.

The bytes are under their SHA-256 in `server/files.py`, durable before their row is written.
"""

from typing import Final

from orchestrator.kernel.errors import NotFound
from orchestrator.kernel.failpoints import reached
from orchestrator.protocol.base import moment
from orchestrator.protocol.views import FileView
from orchestrator.server.operations.ownership import AttemptKey, own_session
from orchestrator.server.store.interface import Reader, Row, Transaction

_RECORD: Final = """
    INSERT INTO file (sha256, size, created_us, used_us) VALUES (:sha256, :size, :now, :now)
    ON CONFLICT (sha256) DO UPDATE SET used_us = excluded.used_us
    RETURNING sha256, size, created_us
"""
_SELECT_INPUT: Final = """
    SELECT file.sha256, file.size, file.created_us
    FROM job
    JOIN job_file ON job_file.job_id = job.id
    JOIN file ON file.sha256 = job_file.sha256
    WHERE job.id = :job_id AND job.attempt = :attempt AND job.session_id = :session_id
        AND file.sha256 = :sha256
"""


def record_file(tx: Transaction, *, sha256: str, size: int) -> FileView:
    """Note that a file is stored, or was used again."""
    (row,) = tx.rows(_RECORD, sha256=sha256, size=size, now=tx.now_us)
    reached("upload.row")
    return _view(row)


def find_file(reader: Reader, sha256: str) -> FileView | None:
    """Return a stored file, or `None`."""
    row = reader.row("SELECT sha256, size, created_us FROM file WHERE sha256 = :id", id=sha256)
    return None if row is None else _view(row)


def input_file(reader: Reader, sha256: str, key: AttemptKey, *, worker_id: str) -> FileView:
    """Return an input of an attempt that the worker's session is entitled to.

    Everything else is not found, whether or not it exists: a hash must not tell what is stored.
    """
    own_session(reader, key.session_id, worker_id)
    row = reader.row(
        _SELECT_INPUT,
        job_id=key.job_id,
        attempt=key.attempt,
        session_id=key.session_id,
        sha256=sha256,
    )
    if row is None:
        raise NotFound(f"attempt {key.attempt} of {key.job_id} has no input {sha256}")
    return _view(row)


def _view(row: Row) -> FileView:
    return FileView(sha256=row["sha256"], size=row["size"], created_at=moment(row["created_us"]))
