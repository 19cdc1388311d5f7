"""What a worker is told that asks for one job by its id."""

import pytest

from orchestrator.core.wish import Wished, objection
from orchestrator.protocol.words import JobState

ID = "job_1"


def test_every_state_is_answered() -> None:
    """It may wait for what can still be given to it; all else is told."""
    waits = {
        state for state in JobState if objection(Wished(ID, state, holder=None, lacks=())) is None
    }

    assert waits == {JobState.SCHEDULED, JobState.BLOCKED, JobState.QUEUED, JobState.WAITING}


@pytest.mark.parametrize(
    ("wished", "message", "hint"),
    [
        (
            Wished(ID, JobState.QUEUED, None, (), asking="web", distrust="the fan is loud"),
            "job job_1 is not given to web, which is in quarantine: the fan is loud",
            "orchestrator workers release web",
        ),
        (Wished(ID, JobState.FAILED, None, ()), "job job_1 is over (failed)", "jobs retry job_1"),
        (Wished(ID, JobState.HELD, None, ()), "job job_1 is held back", "jobs release job_1"),
        (
            Wished(ID, JobState.RUNNING, "web", ()),
            "job job_1 is web's already (running)",
            "jobs wait job_1",
        ),
        (
            Wished(ID, JobState.QUEUED, None, ("tag gpu", "kind delay")),
            "job job_1 is not for this worker, which lacks tag gpu, kind delay",
            "jobs explain job_1",
        ),
        # To let it go would not help.
        (
            Wished(ID, JobState.HELD, None, ("tag gpu",)),
            "job job_1 is not for this worker, which lacks tag gpu",
            "jobs explain job_1",
        ),
        # Nobody has what is over.
        (
            Wished(ID, JobState.CANCELLED, "web", ("tag gpu",)),
            "job job_1 is over (cancelled)",
            "jobs retry job_1",
        ),
    ],
)
def test_the_gravest_reason_is_told(wished: Wished, message: str, hint: str) -> None:
    """With what to do about it."""
    told = objection(wished)

    assert told is not None
    assert told.message == message
    assert hint in told.hint
