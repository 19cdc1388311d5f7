"""What a new job depends on: found, judged, and kept for as long as it is open."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from orchestrator.core.dependencies import GRAVITY, Verdict, blame, verdict
from orchestrator.kernel.errors import RequestInvalid
from orchestrator.protocol.jobs import Dependency
from orchestrator.protocol.views import OpenDependency
from orchestrator.protocol.words import JobState, Reason
from orchestrator.server.operations.dependents import parent_words
from orchestrator.server.store.interface import Reader, Transaction, Value
from orchestrator.server.store.pairs import tuples_of_pairs

_SELECT_PARENTS: Final = """
    SELECT job.id, job.name, job.state, job.reason, job.message
    FROM {pairs} JOIN job ON job.id = column1
"""
_INSERT: Final = """
    INSERT INTO job_dependency (job_id, parent_id, waits_for, on_failure)
    VALUES (:job_id, :parent_id, :waits_for, :on_failure)
"""
_AWAIT: Final = "UPDATE job SET awaited = 1 WHERE id = :parent_id"
_SELECT_OPEN: Final = """
    SELECT needs.parent_id, needs.waits_for, needs.on_failure, job.name, job.state
    FROM job_dependency AS needs LEFT JOIN job ON job.id = needs.parent_id
    WHERE needs.job_id = :job_id AND needs.failure IS NULL ORDER BY needs.parent_id
"""


@dataclass(frozen=True, slots=True)
class Needs:
    """What a new job depends on that is not met: what is open, and what will never be."""

    open: tuple[Dependency, ...] = ()
    worst: Verdict = Verdict.MET
    failure: str | None = None

    @property
    def blocks(self) -> bool:
        """Tell whether the job cannot go on."""
        return bool(self.open) or self.worst is not Verdict.MET


NOTHING: Final = Needs()


class Parent(NamedTuple):
    """A job that another one names."""

    name: str | None
    state: JobState
    reason: str | None
    message: str | None

    def words(self, job_id: str) -> str:
        """Return why a job fails with it."""
        told = self.message if self.reason == Reason.DEPENDENCY_FAILED else None
        return blame(parent_words(job_id, self.name, self.state, self.reason), told)


Parents = Mapping[str, Parent]
NEW: Final = Parent(None, JobState.QUEUED, None, None)
"""A job that is just being taken in."""


def parents_of(reader: Reader, wanted: Sequence[Dependency]) -> Parents:
    """Return those of the jobs that are there."""
    ids = [(job_id, 0) for job_id in dict.fromkeys(one.job for one in wanted)]
    rows = tuples_of_pairs(reader, _SELECT_PARENTS, ids)
    return {
        job_id: Parent(name, JobState(state), reason, message)
        for job_id, name, state, reason, message in rows
    }


def needs_of(reader: Reader, wanted: Sequence[Dependency]) -> Needs:
    """Judge what a new job depends on, or refuse it for what is not there."""
    if not wanted:
        return NOTHING
    known = parents_of(reader, wanted)
    missing = tuple(unknown(known, wanted))
    if missing:
        raise RequestInvalid(
            "a job depends on jobs that are not there",
            hint="name jobs that exist: orchestrator jobs list shows them",
            fields=missing,
            code="dependency_unknown",
        )
    return judged(known, wanted)


def unknown(known: Parents, wanted: Sequence[Dependency]) -> Iterator[tuple[str, str]]:
    """Yield a fault for each job that is named and is not there."""
    for index, one in enumerate(wanted):
        if one.job not in known:
            yield f"depends_on.{index}.job", f"there is no job {one.job}"


def judged(known: Parents, wanted: Sequence[Dependency]) -> Needs:
    """Say what dependencies mean for a new job. What is over already counts at once."""
    still_open, worst, failure = [], Verdict.MET, None
    for one in wanted:
        parent = known[one.job]
        found = verdict(parent.state, one.on, one.on_failure)
        if found is Verdict.OPEN:
            still_open.append(one)
        elif GRAVITY[found] > GRAVITY[worst]:
            worst, failure = found, parent.words(one.job)
    return Needs(tuple(still_open), worst, failure)


def keep(tx: Transaction, needs: Sequence[tuple[str, Dependency]]) -> None:
    """Keep what is open of new jobs, and note at the other end that somebody waits."""
    rows: list[dict[str, Value]] = [
        {
            "job_id": job_id,
            "parent_id": one.job,
            "waits_for": one.on.value,
            "on_failure": one.on_failure.value,
        }
        for job_id, one in needs
    ]
    tx.many(_INSERT, rows)
    parents = dict.fromkeys(one.job for _, one in needs)
    tx.many(_AWAIT, [{"parent_id": parent} for parent in parents])


def open_dependencies(reader: Reader, job_id: str) -> list[OpenDependency]:
    """Return what a job still waits for."""
    return [_open(row) for row in reader.tuples(_SELECT_OPEN, job_id=job_id)]


def _open(row: Sequence[Any]) -> OpenDependency:
    parent_id, waits_for, on_failure, name, state = row
    return OpenDependency(
        job=parent_id, name=name, state=state, on=waits_for, on_failure=on_failure
    )
