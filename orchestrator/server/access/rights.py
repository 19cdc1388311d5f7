"""What somebody must be allowed to do: what the table asks for, and what a job asks for beside it.

A new job may end others, or be answered with one that is there. Whoever submits it needs the right
to do that by itself, or a submit would be a way around the table.
"""

from collections.abc import Iterable

from orchestrator.kernel.errors import Forbidden
from orchestrator.protocol.jobs import JobFields
from orchestrator.protocol.words import OnConflict, Scope
from orchestrator.server.access.table import allows
from orchestrator.server.operations.keys import Principal


def require(principal: Principal, scopes: Iterable[Scope]) -> None:
    """Refuse whoever lacks one of the scopes, and say which."""
    lacking = [scope for scope in scopes if not allows(principal.scopes, scope)]
    if lacking:
        raise Forbidden(
            f"this credential lacks the scope {' and '.join(lacking)}",
            hint="use a key that has it, or ask an administrator for one",
        )


def asked_by(job: JobFields) -> set[Scope]:
    """Return what a job asks for beside the right to submit it."""
    scopes = set()
    if job.unique is not None and job.unique.on_conflict is OnConflict.RETURN:
        scopes.add(Scope.JOBS_READ)
    if job.ends_others:
        scopes.add(Scope.JOBS_CANCEL)
    return scopes
