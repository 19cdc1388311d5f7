"""Say why a job is not running: its state, its moment, or what each worker lacks.

Asked of everything as it is now and decided by the core; nothing of it is stored.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from orchestrator.core import explain as core
from orchestrator.core.job_lifecycle import TERMINAL
from orchestrator.core.lease import OFFLINE_US
from orchestrator.protocol.base import moment, moment_or_none
from orchestrator.protocol.views import (
    Explanation,
    GateView,
    JobView,
    Miss,
    NearestMiss,
    OpenDependency,
)
from orchestrator.protocol.words import JobState, PendingReason
from orchestrator.server.operations.dependencies import open_dependencies
from orchestrator.server.operations.gates import gate_told, gate_view
from orchestrator.server.operations.gating import closed_gates
from orchestrator.server.operations.jobs import view_job
from orchestrator.server.operations.lease_clock import read_lease_clock
from orchestrator.server.operations.lines import line_of_row
from orchestrator.server.operations.requirements import offer_of, requirement_of_row
from orchestrator.server.store.interface import Reader

_SELECT: Final = """
    SELECT job.requirement_id, job.due_us, job.failures, job.lost, requirement.kind,
        requirement.tags, requirement.platform, requirement.worker, job.line_id, line.queue,
        line.fairness_key, line.limits
    FROM job LEFT JOIN requirement ON requirement.id = job.requirement_id
        LEFT JOIN line ON line.id = job.line_id
    WHERE job.id = :job_id
"""
_SELECT_WORKERS: Final = """
    SELECT session.id, session.worker_id, worker.name, session.platform, session.kinds,
        session.tags, session.slots, session.ended_us, session.renewed_lease_us, machine.arch,
        (SELECT count(*) FROM job WHERE job.session_id = session.id) AS busy,
        coalesce(fits.barred, 0) AS barred
    FROM worker JOIN session ON session.id = worker.session_id
        JOIN machine ON machine.id = worker.machine_id
    LEFT JOIN session_requirement AS fits
        ON fits.session_id = session.id AND fits.requirement_id = :requirement_id
    ORDER BY worker.name, worker.id
"""
_MOST_NAMED: Final = 3
_MOST_SHOWN: Final = 20
"""Of the constraints: a fleet lacks whatever it lacks, and nobody reads on."""


def explain(reader: Reader, job_id: str) -> Explanation | None:
    """Return why a job is where it is, or `None` if there is no such job."""
    job = view_job(reader, job_id)
    row = reader.row(_SELECT, job_id=job_id)
    if job is None or row is None:
        return None
    if job.state is JobState.QUEUED:
        line = line_of_row(row["line_id"], row["queue"], row["fairness_key"], row["limits"])
        gate = closed_gates(reader, [line]).get(line.id)
        workers = _candidates(reader, row["requirement_id"])
        found = core.explain(requirement_of_row(row), workers, gate)
        return _queued(job, found, None if gate is None else gate_view(reader, gate))
    waits_for = open_dependencies(reader, job_id)
    until = moment_or_none(row["due_us"])
    tries = row["failures"] + row["lost"]
    words = _waits_for(waits_for) if job.state is JobState.BLOCKED else _words(job, tries)
    if until is not None:
        words = f"{words} until {moment(row['due_us']):%Y-%m-%d %H:%M:%SZ}"
    return Explanation(
        id=job.id,
        state=job.state,
        pending_reason=job.pending_reason,
        words=words,
        until=until,
        dependencies=waits_for,
    )


def _candidates(reader: Reader, requirement_id: int) -> list[core.Candidate]:
    since = read_lease_clock(reader).now - OFFLINE_US
    return [
        core.Candidate(
            offer_of(row),
            online=row["ended_us"] is None and row["renewed_lease_us"] > since,
            free=row["busy"] < row["slots"],
            barred=bool(row["barred"]),
        )
        for row in reader.rows(_SELECT_WORKERS, requirement_id=requirement_id)
    ]


def _queued(job: JobView, found: core.Explained, gate: GateView | None) -> Explanation:
    nearest = found.nearest
    return Explanation(
        id=job.id,
        state=job.state,
        pending_reason=found.reason,
        words=_who(found) if gate is None else gate_told(gate),
        until=None if gate is None else gate.until,
        gate=gate,
        workers=found.workers,
        workers_online=found.fleet.online,
        workers_matching=found.fleet.matching,
        workers_free=found.fleet.matching_free,
        failing=[
            Miss(constraint=constraint, workers=count)
            for constraint, count in list(found.failing.items())[:_MOST_SHOWN]
        ],
        nearest=None
        if nearest is None
        else NearestMiss(worker=nearest.worker, lacks=list(nearest.lacks)),
    )


def _who(found: core.Explained) -> str:
    """Return the reason as a sentence about the fleet."""
    match found.reason:
        case PendingReason.NO_WORKER_ONLINE:
            known = f"{found.workers} known" if found.workers else "none was ever enrolled"
            return f"no worker is online ({known})"
        case PendingReason.NO_WORKER_MATCHES:
            return f"none of {found.fleet.online} online workers has all that the job asks for" + (
                _but_for(found)
            )
        case PendingReason.WORKERS_QUARANTINED:
            return (
                f"all workers that match ({found.fleet.matching}) are in quarantine; "
                "orchestrator workers list says why"
            )
        case PendingReason.ALL_SLOTS_BUSY:
            return (
                f"all slots of the workers that match ({found.fleet.matching}) are busy or paused"
            )
        case _:
            return f"a worker is about to take it ({found.fleet.matching_free} have a free slot)"


def _but_for(found: core.Explained) -> str:
    """Return the one thing that is in the way of most workers, and what was perhaps meant by it."""
    words = ""
    if found.but_for:
        what, workers = next(iter(found.but_for.items()))
        words = f"; {workers} {'matches' if workers == 1 else 'match'} except {what}"
    meant = [f"; did you mean {near} by {tag}?" for tag, near in found.meant.items()]
    return words + "".join(meant[:1])


_WAITING: Final[Mapping[PendingReason, str]] = {
    PendingReason.NOT_BEFORE: "it waits for its moment,",
    PendingReason.HELD: "somebody keeps it back; orchestrator jobs release lets it go",
}


def _waits_for(waits_for: Sequence[OpenDependency]) -> str:
    """Return what a blocked job waits for, the first few by name."""
    named = [
        f"{one.job} ({one.name}, {one.state})" if one.name else f"{one.job} ({one.state})"
        for one in waits_for[:_MOST_NAMED]
    ]
    more = ["…"] if len(waits_for) > _MOST_NAMED else []
    count = f"{len(waits_for)} jobs that are" if len(waits_for) > 1 else "a job that is"
    return f"it waits for {count} not over: {', '.join([*named, *more])}"


def _words(job: JobView, tries: int) -> str:
    """Return where a job is that waits for no worker."""
    who = job.worker or "a worker"
    offline = ", which is offline" if job.worker_offline else ""
    if job.state in TERMINAL:
        return "it is over" + (f" ({job.reason})" if job.reason else "")
    if job.state is JobState.LEASED:
        return f"{who}{offline} has it, and is about to start it"
    if job.state is JobState.RUNNING:
        return f"it runs on {who}{offline}"
    if job.state is JobState.CANCELLING:
        return f"it is being ended on {who}{offline}; its processes are not all gone"
    if job.pending_reason is PendingReason.BACKOFF:
        return f"it failed or was lost ({tries} so far) and pauses before it is tried again,"
    if job.pending_reason is None:
        return f"it is {job.state}"
    return _WAITING.get(job.pending_reason, str(job.pending_reason).replace("_", " "))
