"""What the database holds of output logs: where they end, the small ones, the parts of large ones.

The bytes of parts are none of its business. They are on the disk before `commit_output` is called,
and the length that it stores is what makes them count.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

from orchestrator.kernel.errors import invariant
from orchestrator.kernel.failpoints import reached
from orchestrator.protocol.wire import Ack
from orchestrator.protocol.words import Directive
from orchestrator.server.facts import OutputGrew
from orchestrator.server.operations.output_plan import Growth, OutputLog
from orchestrator.server.operations.ownership import AttemptKey, own_session
from orchestrator.server.output_log import OutputState, Part
from orchestrator.server.store.interface import Reader, Transaction, Value

OUTPUT_COLUMNS: Final = """
    output.length, output.digest, output.stdout_bytes, output.stderr_bytes, output.inline_frames,
    output.gap_start, output.gap_end, output.dropped_bytes, output.lines
"""
OUTPUT_WIDTH: Final = 9
_SELECT_STATE: Final = f"""
    SELECT {OUTPUT_COLUMNS}, attempt.outcome, attempt.missing_bytes
    FROM attempt LEFT JOIN output
        ON output.job_id = attempt.job_id AND output.attempt = attempt.number
    WHERE attempt.job_id = :job_id AND attempt.number = :attempt
"""
_SELECT_PARTS: Final = """
    SELECT start, length, own_bytes FROM output_part
    WHERE job_id = :job_id AND attempt = :attempt ORDER BY start
"""
_SELECT_ENTITLED: Final = f"""
    SELECT {OUTPUT_COLUMNS}
    FROM attempt
    JOIN job ON job.id = attempt.job_id AND job.attempt = attempt.number
        AND job.session_id = attempt.session_id
    LEFT JOIN output ON output.job_id = attempt.job_id AND output.attempt = attempt.number
    WHERE attempt.job_id = :job_id AND attempt.number = :attempt
        AND attempt.session_id = :session_id AND attempt.outcome IS NULL
"""
_SAVE: Final = """
    INSERT INTO output (job_id, attempt, length, digest, stdout_bytes, stderr_bytes, inline_frames,
        gap_start, gap_end, dropped_bytes, lines)
    SELECT job_id, number, :length, :digest, :stdout_bytes, :stderr_bytes, :inline_frames,
        :gap_start, :gap_end, :dropped_bytes, :lines
    FROM attempt
    WHERE job_id = :job_id AND number = :attempt AND session_id = :session_id AND outcome IS NULL
    ON CONFLICT (job_id, attempt) DO UPDATE SET length = excluded.length, digest = excluded.digest,
        stdout_bytes = excluded.stdout_bytes, stderr_bytes = excluded.stderr_bytes,
        inline_frames = excluded.inline_frames, gap_start = excluded.gap_start,
        gap_end = excluded.gap_end, dropped_bytes = excluded.dropped_bytes, lines = excluded.lines
    WHERE output.length = :was_length
"""
_SAVE_PART: Final = """
    INSERT INTO output_part (job_id, attempt, start, length, own_bytes)
    SELECT job_id, number, :start, :length, :own_bytes
    FROM attempt
    WHERE job_id = :job_id AND number = :attempt AND session_id = :session_id AND outcome IS NULL
    ON CONFLICT (job_id, attempt, start) DO UPDATE SET length = excluded.length,
        own_bytes = excluded.own_bytes
"""
_DROP_PART: Final = """
    DELETE FROM output_part WHERE job_id = :job_id AND attempt = :attempt AND start = :start
        AND EXISTS (
            SELECT 1 FROM attempt
            WHERE attempt.job_id = output_part.job_id AND attempt.number = output_part.attempt
                AND attempt.session_id = :session_id AND attempt.outcome IS NULL
        )
"""

_EMPTY: Final = OutputLog()


def output_state(reader: Reader, job_id: str, attempt: int | None) -> OutputState | None:
    """Return what is committed of an attempt's output: by default of the job's latest attempt.

    A job that was never claimed has an empty output of attempt 0. `None` means that there is no
    such job or attempt.
    """
    if attempt is None:
        job = reader.row("SELECT attempt, finished_us FROM job WHERE id = :id", id=job_id)
        if job is None:
            return None
        attempt = job["attempt"]
        if attempt == 0:
            return OutputState(job_id, 0, 0, closed=job["finished_us"] is not None)
    found = reader.tuples(_SELECT_STATE, job_id=job_id, attempt=attempt)
    if not found:
        return None
    outcome, missing_bytes = found[0][OUTPUT_WIDTH:]
    log = _with_parts(reader, job_id, attempt, log_of(found[0]))
    return OutputState(
        job_id=job_id,
        attempt=attempt,
        length=log.length,
        inline=log.inline,
        parts=log.parts,
        gap_start=log.gap_start,
        gap_end=log.gap_end,
        dropped_bytes=log.dropped_bytes,
        missing_bytes=missing_bytes,
        closed=outcome is not None,
    )


def log_of(values: Sequence[Any]) -> OutputLog:
    """Return the log, still without its parts, of a tuple that begins with `OUTPUT_COLUMNS`.

    They are NULL while it is empty.
    """
    if values[0] is None:
        return _EMPTY
    length, digest, stdout, stderr, inline = values[:5]
    gap_start, gap_end, dropped, lines = values[5:OUTPUT_WIDTH]
    return OutputLog(
        length=length,
        digest=bytes(digest),
        stdout_bytes=stdout,
        stderr_bytes=stderr,
        inline=b"" if inline is None else bytes(inline),
        gap_start=gap_start,
        gap_end=gap_end,
        dropped_bytes=dropped,
        lines=lines,
    )


def _with_parts(reader: Reader, job_id: str, attempt: int, log: OutputLog) -> OutputLog:
    """Return the log with its parts, without asking for those of one that is inline."""
    if log.length == len(log.inline):
        return log
    rows = reader.tuples(_SELECT_PARTS, job_id=job_id, attempt=attempt)
    return replace(log, parts=tuple(Part(*values) for values in rows))


def writable_log(reader: Reader, key: AttemptKey, *, worker_id: str) -> OutputLog | None:
    """Return the log as it is, or `None` when the session may not write to it (any more)."""
    own_session(reader, key.session_id, worker_id)
    found = reader.tuples(
        _SELECT_ENTITLED, job_id=key.job_id, attempt=key.attempt, session_id=key.session_id
    )
    return _with_parts(reader, key.job_id, key.attempt, log_of(found[0])) if found else None


def commit_output(tx: Transaction, key: AttemptKey, growth: Growth, *, worker_id: str) -> Ack:
    """Let the growth of a log count, and return where it ends now.

    It counts only on top of the log that it was planned for. Otherwise somebody was faster, or the
    attempt went to somebody else; the answer tells which.
    """
    now = writable_log(tx, key, worker_id=worker_id)
    if now is None:
        return Ack(job_id=key.job_id, attempt=key.attempt, directive=Directive.ABANDON)
    if now.length != growth.before.length:
        return Ack(job_id=key.job_id, attempt=key.attempt, output_offset=now.length)
    save_output(tx, [(key, growth)])
    reached("output.row")
    return Ack(job_id=key.job_id, attempt=key.attempt, output_offset=growth.after.length)


def save_output(tx: Transaction, growths: Iterable[tuple[AttemptKey, Growth]]) -> None:
    """Write logs that grew; each one is refused by its own statement if it is not as it was."""
    listed = list(growths)
    rows = [_log_row(key, growth) for key, growth in listed]
    written = tx.many(_SAVE, rows)
    invariant(written == len(rows), "an output log changed while it was being written")
    for key, growth in listed:
        if growth.after.parts:
            _save_parts(tx, key, growth)
        tx.announce(OutputGrew(key.job_id, key.attempt))


def _save_parts(tx: Transaction, key: AttemptKey, growth: Growth) -> None:
    same: dict[str, Value] = {
        "job_id": key.job_id,
        "attempt": key.attempt,
        "session_id": key.session_id,
    }
    known = set(growth.before.parts)
    new: list[dict[str, Value]] = [
        {**same, "start": part.start, "length": part.length, "own_bytes": part.own_bytes}
        for part in growth.after.parts
        if part not in known
    ]
    gone: list[dict[str, Value]] = [{**same, "start": start} for start in growth.dropped]
    written = tx.many(_SAVE_PART, new) + tx.many(_DROP_PART, gone)
    invariant(written == len(new) + len(gone), "a part changed while it was being written")


def _log_row(key: AttemptKey, growth: Growth) -> dict[str, Value]:
    after = growth.after
    return {
        "job_id": key.job_id,
        "attempt": key.attempt,
        "session_id": key.session_id,
        "was_length": growth.before.length,
        "length": after.length,
        "digest": after.digest,
        "stdout_bytes": after.stdout_bytes,
        "stderr_bytes": after.stderr_bytes,
        "inline_frames": None if after.parts else after.inline,
        "gap_start": after.gap_start,
        "gap_end": after.gap_end,
        "dropped_bytes": after.dropped_bytes,
        "lines": after.lines,
    }
