"""Make a new job out of one that is over: a finished job itself never changes."""

from typing import Final

from orchestrator.core.job_lifecycle import TERMINAL
from orchestrator.kernel.errors import IllegalTransition
from orchestrator.protocol.jobs import JobSpec
from orchestrator.protocol.views import JobView
from orchestrator.protocol.words import JobState
from orchestrator.server.operations.cancel import not_found
from orchestrator.server.operations.submit import submit
from orchestrator.server.store.interface import Transaction

_SELECT: Final = """
    SELECT job.state, job_spec.spec FROM job JOIN job_spec ON job_spec.job_id = job.id
    WHERE job.id = :job_id
"""


def repeat(
    tx: Transaction, job_id: str, *, new_id: str, owner: str, spec: JobSpec | None
) -> JobView:
    """Submit what a finished job asked for, or `spec` in its place; the two are linked."""
    found = tx.tuples(_SELECT, job_id=job_id)
    if not found:
        raise not_found(job_id)
    state, asked = found[0]
    if JobState(state) not in TERMINAL:
        raise IllegalTransition(
            f"{job_id} is {state}, and only what is over can be repeated",
            hint=f"wait for its end, or cancel it: orchestrator jobs cancel {job_id}",
        )
    wanted = JobSpec.model_validate_json(asked) if spec is None else spec
    return submit(tx, job_id=new_id, owner=owner, spec=wanted, retry_of=job_id)
