"""Make a new job out of one that is over: a finished job itself never changes."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from orchestrator.core.job_lifecycle import TERMINAL
from orchestrator.kernel.errors import IllegalTransition
from orchestrator.protocol.base import microseconds
from orchestrator.protocol.jobs import JobSpec
from orchestrator.protocol.views import JobView
from orchestrator.protocol.words import JobState
from orchestrator.server.operations.cancel import not_found
from orchestrator.server.operations.dependencies import Parents, parents_of
from orchestrator.server.operations.submit import submit
from orchestrator.server.store.interface import Reader, Transaction

_SELECT: Final = """
    SELECT job.state, job_spec.spec FROM job JOIN job_spec ON job_spec.job_id = job.id
    WHERE job.id = :job_id
"""


def repeat(
    tx: Transaction, job_id: str, *, new_id: str, owner: str, spec: JobSpec | None
) -> JobView:
    """Submit what a finished job asked for, or `spec` in its place; the two are linked.

    Nobody repeats a job to see it fail of what made it fail before: of what the old one depended
    on, only what is still open counts, and a moment that has passed does not.
    """
    found = tx.tuples(_SELECT, job_id=job_id)
    if not found:
        raise not_found(job_id)
    state, asked = found[0]
    if JobState(state) not in TERMINAL:
        raise IllegalTransition(
            f"{job_id} is {state}, and only what is over can be repeated",
            hint=f"wait for its end, or cancel it: orchestrator jobs cancel {job_id}",
        )
    wanted = spec
    if wanted is None:
        old = JobSpec.model_validate_json(asked)
        wanted = renewed(old, parents_of(tx, old.depends_on), now_us=tx.now_us)
    return submit(tx, job_id=new_id, owner=owner, spec=wanted, retry_of=job_id)


def asked_of(reader: Reader, job_id: str) -> JobSpec:
    """Return what a job asked for when it was submitted."""
    found = reader.tuples(_SELECT, job_id=job_id)
    if not found:
        raise not_found(job_id)
    return JobSpec.model_validate_json(found[0][1])


def renewed(
    spec: JobSpec,
    known: Parents,
    *,
    now_us: int,
    successors: Mapping[str, str] = MappingProxyType({}),
) -> JobSpec:
    """Return what a job asked for, without what is over by now.

    What it depended on may have a successor, which is then depended on in its place.
    """
    depends_on = []
    for one in spec.depends_on:
        job_id = successors.get(one.job, one.job)
        if job_id in known and known[job_id].state not in TERMINAL:
            depends_on.append(one.model_copy(update={"job": job_id}))
    expires_at = spec.expires_at
    if expires_at is not None and microseconds(expires_at) <= now_us:
        expires_at = None
    return spec.model_copy(update={"depends_on": depends_on, "expires_at": expires_at})
