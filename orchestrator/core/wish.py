"""What is said to a worker that asks for one job by its id, and cannot have it.

Such a job is *wished* for; what a job asks of a worker is its *requirement*. It may be waited for
while it is not ready yet. What will never come is told at once, with the reason.
"""

from typing import NamedTuple

from orchestrator.core.gates import Gate, gate_words
from orchestrator.core.job_lifecycle import LIVE, TERMINAL
from orchestrator.protocol.words import JobState


class Objection(NamedTuple):
    """Why a job will not come, and what to do."""

    message: str
    hint: str


class Wished(NamedTuple):
    """A job that was asked for and was not given."""

    job_id: str
    state: JobState
    holder: str | None
    """The worker that has it."""
    lacks: tuple[str, ...]
    """What whoever asks does not have of what it requires."""
    gate: Gate | None = None
    """What keeps it back for now from everybody."""
    asking: str = ""
    """The worker that asks."""
    distrust: str | None = None
    """Why that worker is in quarantine, if it is and the job is not for it meanwhile."""


def objection(wished: Wished) -> Objection | None:
    """Return why it will not come; `None` while it may."""
    job_id, state = wished.job_id, wished.state
    if state in TERMINAL:
        return Objection(
            f"job {job_id} is over ({state})",
            f"run it once more as a new job: orchestrator jobs retry {job_id}",
        )
    if wished.lacks:
        return Objection(
            f"job {job_id} is not for this worker, which lacks {', '.join(wished.lacks)}",
            f"see whom it is for: orchestrator jobs explain {job_id}",
        )
    if state is JobState.HELD:
        return Objection(
            f"job {job_id} is held back", f"let it go: orchestrator jobs release {job_id}"
        )
    if state in LIVE:
        return Objection(
            f"job {job_id} is {wished.holder or 'a worker'}'s already ({state})",
            f"wait for its end: orchestrator jobs wait {job_id}",
        )
    if wished.gate is not None:
        return Objection(
            f"job {job_id} may not start now: {gate_words(wished.gate)}",
            f"see what it waits for: orchestrator jobs explain {job_id}",
        )
    if state is JobState.QUEUED and wished.distrust is not None:
        name = wished.asking
        return Objection(
            f"job {job_id} is not given to {name}, which is in quarantine: {wished.distrust}",
            f"see what comes next: orchestrator workers show {name}; "
            f"trust it again: orchestrator workers release {name}",
        )
    return None
