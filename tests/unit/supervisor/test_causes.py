"""Why a process ended, as a word to count by."""

import pytest

from orchestrator.supervisor.logic.causes import EndCause, end_cause
from orchestrator.supervisor.logic.child import Child, ChildState, Wanted
from orchestrator.supervisor.logic.patience import ChildPolicy

READY = Child(ChildPolicy(), state=ChildState.READY)
KILLED = Child(ChildPolicy(), state=ChildState.KILLED)


@pytest.mark.parametrize(
    ("child", "code", "signal", "cause"),
    [
        (READY, None, 11, EndCause.CRASHED),
        (READY, 1, None, EndCause.FAILED),
        (READY, None, None, EndCause.FAILED),
        (READY, 5, None, EndCause.BUSY),
        (READY, 73, None, EndCause.STATE),
        (READY, 77, None, EndCause.REFUSED),
        (READY, 78, None, EndCause.CONFIGURATION),
        (KILLED, None, 9, EndCause.LATE),
        (Child(ChildPolicy(), state=ChildState.KILLED, doubted=True), None, 9, EndCause.HUNG),
        (Child(ChildPolicy(), wanted=Wanted.DRAIN, state=ChildState.DRAINING), 0, None, "asked"),
        (Child(ChildPolicy(), wanted=Wanted.STOP, state=ChildState.KILLED), None, 9, "asked"),
    ],
)
def test_every_end_has_a_cause(
    child: Child, code: int | None, signal: int | None, cause: EndCause
) -> None:
    """What was wanted comes first, then what we did to it, then how it went."""
    assert end_cause(child, code, signal) == cause
