"""What becomes of the jobs that depend on a job that is over.

It happens in the transaction of that end, up to a number of dependencies; those beyond it are left
to the upkeep, each to be looked at once. A dependency that is met has no row any more, so nothing
can count it twice.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from orchestrator.core.dependencies import GRAVITY, Verdict, blame, verdict
from orchestrator.core.job import DependenciesMet, DependencyFailed
from orchestrator.protocol.words import JobState, OnFailure, Reason, WaitsFor
from orchestrator.server.facts import Scheduled
from orchestrator.server.operations.records import JOB_COLUMNS, JOB_WIDTH, JobRecord
from orchestrator.server.store.interface import Reader, Transaction, Value
from orchestrator.server.store.pairs import PAIRS_MAX, tuples_of_pairs

FAN_OUT: Final = 200
"""Dependencies that one operation looks after: about ten milliseconds of the writer."""

_SELECT_OPEN: Final = """
    SELECT needs.job_id, needs.parent_id, needs.waits_for, needs.on_failure, parent.name,
        parent.state, parent.reason, parent.message
    FROM {pairs} JOIN job_dependency AS needs
        ON needs.parent_id = column1 AND needs.failure IS NULL
    LEFT JOIN job AS parent ON parent.id = needs.parent_id
    ORDER BY needs.parent_id, needs.job_id LIMIT :limit
"""
_SELECT_CHILDREN: Final = f"""
    SELECT {JOB_COLUMNS}, job.run_at_us FROM {{pairs}} JOIN job ON job.id = column1
"""
_SELECT_WAITING: Final = """
    SELECT DISTINCT needs.job_id FROM {pairs} JOIN job_dependency AS needs ON needs.job_id = column1
"""
_FORGET: Final = "DELETE FROM job_dependency WHERE job_id = :job_id AND parent_id = :parent_id"
_FORGET_ALL: Final = "DELETE FROM job_dependency WHERE job_id = :job_id"
_KEEP_FAILURE: Final = """
    UPDATE job_dependency SET failure = :failure WHERE job_id = :job_id AND parent_id = :parent_id
"""
_LEAVE: Final = """
    INSERT INTO dependency_due (parent_id) VALUES (:parent_id) ON CONFLICT DO NOTHING
"""
_TAKE_DUE: Final = """
    DELETE FROM dependency_due WHERE parent_id IN (
        SELECT parent_id FROM dependency_due ORDER BY parent_id LIMIT :limit
    ) RETURNING parent_id
"""


class Following(NamedTuple):
    """What happens to a dependant, and the words for it where it is no good news."""

    job: JobRecord
    happened: DependenciesMet | DependencyFailed
    message: str | None = None


class Followed(NamedTuple):
    """What follows, and how many dependencies were looked at for that."""

    all: list[Following]
    looked_at: int


@dataclass(frozen=True, slots=True)
class _Settled:
    """One dependency whose parent is over."""

    job_id: str
    parent_id: str
    verdict: Verdict
    failure: str

    @classmethod
    def of(cls, row: Sequence[Any]) -> "_Settled":
        job_id, parent_id, waits_for, on_failure, name, state, reason, message = row
        # A parent that is not there any more was over long ago, and nobody knows how.
        ended = JobState.FAILED if state is None else JobState(state)
        words = parent_words(parent_id, name, state, reason)
        told = message if reason == Reason.DEPENDENCY_FAILED else None
        found = verdict(ended, WaitsFor(waits_for), OnFailure(on_failure))
        return cls(job_id, parent_id, found, blame(words, told))


def parent_words(job_id: str, name: str | None, state: str | None, reason: str | None) -> str:
    """Return a dependency in words, with what became of it."""
    called = f"{job_id} ({name})" if name else job_id
    if state is None:
        return f"{called}, which was forgotten"
    return f"{called}, which is {state}" + (f" ({reason})" if reason else "")


def following(tx: Transaction, parents: Sequence[str], *, limit: int) -> Followed:
    """Settle dependencies on jobs that are over, and return what happens to the dependants.

    What is over the limit is left to the upkeep.
    """
    settled: list[_Settled] = []
    for begin in range(0, len(parents), PAIRS_MAX):
        some = [(job_id, 0) for job_id in parents[begin : begin + PAIRS_MAX]]
        room = limit - len(settled)
        rows = list(tuples_of_pairs(tx, _SELECT_OPEN, some, limit=room + 1)) if room else []
        settled += [_Settled.of(row) for row in rows[:room]]
        if not room or len(rows) > room:
            leave(tx, parents[begin:])
            break
    return Followed(_happenings(tx, settled), len(settled))


def leave(tx: Transaction, parents: Iterable[str]) -> None:
    """Have the upkeep look after the dependants of jobs that are over, at once."""
    tx.many(_LEAVE, [{"parent_id": job_id} for job_id in parents])
    tx.announce(Scheduled(tx.now_us))


def take_due(tx: Transaction, *, limit: int) -> list[str]:
    """Return some of the jobs whose dependants were left over; whoever takes them settles them."""
    return [job_id for (job_id,) in tx.tuples(_TAKE_DUE, limit=limit)]


def forget(tx: Transaction, job_ids: Iterable[str]) -> None:
    """Forget what jobs were waiting for that are over themselves."""
    tx.many(_FORGET_ALL, [{"job_id": job_id} for job_id in job_ids])


def _happenings(tx: Transaction, settled: Sequence[_Settled]) -> list[Following]:
    if not settled:
        return []
    ids = [(job_id, 0) for job_id in dict.fromkeys(one.job_id for one in settled)]
    rows = tuples_of_pairs(tx, _SELECT_CHILDREN, ids)
    children = {row[0]: (JobRecord.of(row), row[JOB_WIDTH]) for row in rows}
    _settle(tx, settled, {job_id: job.state for job_id, (job, _) in children.items()})
    waiting = {job_id for (job_id,) in tuples_of_pairs(tx, _SELECT_WAITING, ids)}
    worst: dict[str, _Settled] = {}
    for one in settled:
        known = worst.get(one.job_id)
        if known is None or GRAVITY[one.verdict] > GRAVITY[known.verdict]:
            worst[one.job_id] = one
    found = []
    for job_id, one in worst.items():
        job, run_at_us = children[job_id]
        if job.state is not JobState.BLOCKED:
            continue
        if one.verdict is not Verdict.MET:
            failed = DependencyFailed(hold=one.verdict is Verdict.HOLD)
            found.append(Following(job, failed, one.failure))
        elif job_id not in waiting:
            found.append(Following(job, DependenciesMet(run_at_us)))
    return found


def _settle(tx: Transaction, settled: Sequence[_Settled], states: dict[str, JobState]) -> None:
    """Forget dependencies that are settled; one that failed a held job is kept for its release."""
    done: list[dict[str, Value]] = []
    kept: list[dict[str, Value]] = []
    for one in settled:
        which: dict[str, Value] = {"job_id": one.job_id, "parent_id": one.parent_id}
        if one.verdict is Verdict.FAIL and states[one.job_id] is JobState.HELD:
            kept.append({**which, "failure": one.failure})
        else:
            done.append(which)
    tx.many(_FORGET, done)
    tx.many(_KEEP_FAILURE, kept)


@dataclass(frozen=True, slots=True)
class Standing:
    """What a held job would meet when it is let go."""

    is_open: bool
    failure: str | None


def standing(reader: Reader, job_id: str) -> Standing:
    """Return whether something is open that a job depends on, and whether something failed."""
    rows = reader.tuples(
        "SELECT failure FROM job_dependency WHERE job_id = :job_id ORDER BY parent_id",
        job_id=job_id,
    )
    failures = [failure for (failure,) in rows if failure is not None]
    return Standing(len(failures) < len(rows), failures[0] if failures else None)
