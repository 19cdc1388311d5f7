"""Until when a new job may be started, and until when it must be over."""

from dataclasses import dataclass

from orchestrator.kernel.errors import RequestInvalid
from orchestrator.protocol.base import microseconds
from orchestrator.protocol.jobs import JobSpec


@dataclass(frozen=True, slots=True)
class Moments:
    """Until when a job may be started, and until when it must be over."""

    expires_us: int | None
    deadline_us: int | None


def moments_of(spec: JobSpec, *, now_us: int) -> Moments:
    """Count both from the submit, or refuse a job that could never be started."""
    expires_us = None if spec.expires_at is None else microseconds(spec.expires_at)
    field = "expires_at"
    if spec.queue_ttl_s is not None:
        expires_us, field = now_us + round(spec.queue_ttl_s * 1_000_000), "queue_ttl_s"
    deadline_us = None
    if spec.deadline_s is not None:
        deadline_us = now_us + round(spec.deadline_s * 1_000_000)
    begins_us = now_us if spec.run_at is None else max(now_us, microseconds(spec.run_at))
    for name, moment_us in ((field, expires_us), ("deadline_s", deadline_us)):
        if moment_us is not None and moment_us <= begins_us:
            raise RequestInvalid(
                f"the request is not valid: {name}",
                hint="give a moment that is still to come, and one after run_at",
                fields=((name, "is over before the job could be started"),),
            )
    return Moments(expires_us, deadline_us)
