"""Forget what nobody needs any more: old finished jobs with everything of theirs, unused files.

In small batches, so that writers hardly notice. A finished job never changes, so its output files
can be removed first and its rows after: a crash between the two leaves rows, which the next round
finds, and never files that nobody knows of. Files are the other way round, because they can be used
again: their row goes first, and nobody may store a file while others are being removed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from orchestrator.core.retention import CLASSES, DAY_US, USUAL, Retention
from orchestrator.protocol.ids import RANDOM_BYTES, make_id
from orchestrator.protocol.limits import RATE_WINDOW_MAX_S
from orchestrator.protocol.words import JobState
from orchestrator.server.operations.records import NOT_OVER
from orchestrator.server.store.interface import Reader, Transaction, Value

BATCH: Final = 100
"""Jobs in one go: with their events, attempts and outputs about a thousand rows."""
COUNTED: Final = 1000
"""Jobs of a preview that are counted in one look."""
ROWS: Final = 1000
"""Of everything smaller than a job in one go: lines, turns, starts, fires."""
FILE_KEPT_DAYS: Final = 7.0
SESSION_KEPT_DAYS: Final = 30.0
BATCH_KEPT_DAYS: Final = 30.0
"""From its beginning, when no job of it is left."""

_SETTLED: Final = """
    state = :state AND finished_us < :before AND EXISTS (
        SELECT 1 FROM job_event
        WHERE job_event.job_id = job.id AND job_event.seq = job.event_seq
            AND job_event.at_us < :before
    ) AND NOT EXISTS (
        SELECT 1 FROM job_dependency
        WHERE job_dependency.parent_id = job.id AND job_dependency.failure IS NULL
    )
"""
"""A job's moment of its end is a worker's word, and may be months old when it is heard at last. The
timeline is stamped by the server: nothing was added to it since. What another job still depends on
is needed to decide about that one."""
_OLD_JOBS: Final = f"""
    SELECT id FROM job WHERE id > :after AND id < :bound AND {_SETTLED} ORDER BY id LIMIT :limit
"""
_FORGET_JOB: Final = f"DELETE FROM job WHERE id = :id AND {_SETTLED}"
_OUTPUT_BYTES: Final = """
    SELECT coalesce(sum(length(output.inline_frames)), 0) + coalesce(sum((
        SELECT sum(output_part.length) FROM output_part
        WHERE output_part.job_id = output.job_id AND output_part.attempt = output.attempt
    )), 0)
    FROM output WHERE output.job_id >= :first AND output.job_id <= :last AND EXISTS (
        SELECT 1 FROM job WHERE job.id = output.job_id AND job.id < :bound AND {settled}
    )
""".replace("{settled}", _SETTLED)
_OLD_FILES: Final = """
    DELETE FROM file WHERE sha256 IN (
        SELECT sha256 FROM file WHERE used_us < :before
            AND NOT EXISTS (SELECT 1 FROM job_file WHERE job_file.sha256 = file.sha256)
        ORDER BY used_us LIMIT :limit
    ) RETURNING sha256
"""
_OLD_SESSIONS: Final = """
    DELETE FROM session WHERE ended_us < :before
        AND NOT EXISTS (SELECT 1 FROM job WHERE job.session_id = session.id)
        AND NOT EXISTS (
            SELECT 1 FROM worker
            WHERE worker.id = session.worker_id AND worker.session_id = session.id
        )
"""
_OLD_BATCHES: Final = """
    DELETE FROM batch WHERE id IN (
        SELECT id FROM batch WHERE created_us < :before
            AND NOT EXISTS (SELECT 1 FROM job WHERE job.batch_id = batch.id)
        ORDER BY id LIMIT :limit
    )
"""
_IDLE_LINES: Final = "SELECT id FROM line WHERE used_us < :before"
_WANTED_LINES: Final = f"SELECT DISTINCT line_id FROM job WHERE state IN ({NOT_OVER})"
_FORGET_LINE: Final = "DELETE FROM line WHERE id = :id AND used_us < :before"
_FORGET_REQUIREMENTS: Final = """
    DELETE FROM requirement WHERE used_us < :before
        AND NOT EXISTS (SELECT 1 FROM line WHERE line.requirement_id = requirement.id)
"""
_FORGET_TURNS: Final = """
    DELETE FROM turn WHERE (queue, fairness_key) IN (
        SELECT queue, fairness_key FROM turn WHERE served_us < :before
            AND NOT EXISTS (
                SELECT 1 FROM line
                WHERE line.queue = turn.queue AND line.fairness_key = turn.fairness_key
            )
        LIMIT :limit
    )
"""
_FORGET_STARTS: Final = """
    DELETE FROM rate_start WHERE (name, started_us, job_id, attempt) IN (
        SELECT name, started_us, job_id, attempt FROM rate_start WHERE started_us < :before
        ORDER BY started_us LIMIT :limit
    )
"""


def forgettable_jobs(
    reader: Reader, *, now_us: int, kept: Retention = USUAL
) -> list[tuple[str, JobState]]:
    """Return some finished jobs that are old enough to be forgotten, with how they ended.

    Ids begin with the moment of the submit, and no job finished before that: so the search ends
    where the ids get too young, and the index of the states begins it with the oldest.
    """
    found: list[tuple[str, JobState]] = []
    for state in CLASSES:
        found += [(job_id, state) for job_id in _old(reader, state, now_us=now_us, kept=kept)]
    return found[:BATCH]


def _old(  # noqa: PLR0913  # where a page of them is
    reader: Reader,
    state: JobState,
    *,
    now_us: int,
    kept: Retention,
    after: str = "",
    limit: int = BATCH,
) -> list[str]:
    bounds = _bounds(state, now_us=now_us, kept=kept)
    found = reader.tuples(_OLD_JOBS, **bounds, after=after, limit=limit)
    return [job_id for (job_id,) in found]


def _bounds(state: JobState, *, now_us: int, kept: Retention) -> dict[str, Value]:
    before = kept.before_us(state, now_us)
    bound = make_id("job", at_ms=max(0, before) // 1000 + 1, random=bytes(RANDOM_BYTES))
    return {"state": state.value, "before": before, "bound": bound}


@dataclass(frozen=True, slots=True)
class Prunable:
    """How many of the jobs that ended in one state can go, with how much output."""

    jobs: int
    output_bytes: int
    last: str | None
    """Behind which job to go on counting; `None` when all are counted."""


def prunable(
    reader: Reader, state: JobState, *, now_us: int, kept: Retention, after: str = ""
) -> Prunable:
    """Count some of the jobs that would be forgotten now: a stretch, so that nobody is held up."""
    ids = _old(reader, state, now_us=now_us, kept=kept, after=after, limit=COUNTED)
    if not ids:
        return Prunable(0, 0, None)
    bounds = _bounds(state, now_us=now_us, kept=kept)
    ((size,),) = reader.tuples(_OUTPUT_BYTES, **bounds, first=ids[0], last=ids[-1])
    return Prunable(len(ids), int(size), ids[-1] if len(ids) == COUNTED else None)


def forget_jobs(
    tx: Transaction, jobs: Sequence[tuple[str, JobState]], *, kept: Retention = USUAL
) -> int:
    """Delete finished jobs with everything of theirs, once their output files are gone."""
    return tx.many(
        _FORGET_JOB,
        [
            {"id": job_id, "state": state.value, "before": kept.before_us(state, tx.now_us)}
            for job_id, state in jobs
        ],
    )


def forget_files(tx: Transaction, *, kept_days: float = FILE_KEPT_DAYS) -> list[str]:
    """Delete the rows of files that no job names and nobody used lately; return their names.

    The caller removes them from the disk, holding the same lock as whoever stores one: a file that
    is uploaded again in between must not lose its bytes.
    """
    before = tx.now_us - round(kept_days * DAY_US)
    return [row["sha256"] for row in tx.rows(_OLD_FILES, before=before, limit=BATCH)]


def idle_lines(reader: Reader) -> list[int]:
    """Return some lines that no job came into lately, and that no unfinished job is in."""
    wanted = {number for (number,) in reader.tuples(_WANTED_LINES)}
    idle = reader.tuples(_IDLE_LINES, before=reader.now_us - DAY_US)
    return [number for (number,) in idle if number not in wanted][:ROWS]


def forget_lines(tx: Transaction, numbers: Sequence[int]) -> int:
    """Delete idle ones, but for those that a job came into since they were looked for.

    What is required in no line is forgotten with them.
    """
    before = tx.now_us - DAY_US
    forgotten = tx.many(_FORGET_LINE, [{"id": number, "before": before} for number in numbers])
    tx.execute(_FORGET_REQUIREMENTS, before=before)
    return forgotten


def forget_turns(tx: Transaction) -> bool:
    """Delete some of what was remembered of turns and starts, once nobody can ask for it.

    Tell whether there may be more.
    """
    turns = tx.execute(_FORGET_TURNS, before=tx.now_us - DAY_US, limit=ROWS)
    before = tx.now_us - round(RATE_WINDOW_MAX_S * 1_000_000)
    return ROWS in {turns, tx.execute(_FORGET_STARTS, before=before, limit=ROWS)}


def forget_sessions(tx: Transaction) -> None:
    """Delete old sessions."""
    tx.execute(_OLD_SESSIONS, before=tx.now_us - round(SESSION_KEPT_DAYS * DAY_US))


def forget_batches(tx: Transaction) -> bool:
    """Delete some old batches of which no job is left, also those that nobody ever closed.

    Tell whether there may be more.
    """
    before = tx.now_us - round(BATCH_KEPT_DAYS * DAY_US)
    return tx.execute(_OLD_BATCHES, before=before, limit=BATCH) == BATCH
