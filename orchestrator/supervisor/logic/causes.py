"""Why a child's process ended, as one word of a closed list, for counting.

The exit codes are those of all our programs. What a person reads about one end is told elsewhere;
this is for a graph over months, so the words are few and stay what they are.
"""

from enum import StrEnum
from types import MappingProxyType
from typing import Final

from orchestrator.supervisor.logic.child import Child, ChildState, Wanted


class EndCause(StrEnum):
    """Why a process ended."""

    ASKED = "asked"
    """It was to end: it was removed, disabled, or begins anew with other settings."""
    HUNG = "hung"
    """It said nothing for too long, and was killed."""
    LATE = "late"
    """It was not ready in time, and was killed."""
    CRASHED = "crashed"
    """A signal ended it that was not ours."""
    BUSY = "busy"
    """Another process still held its data."""
    STATE = "state"
    """Its folder could not be written."""
    REFUSED = "refused"
    """Its server does not know its token."""
    CONFIGURATION = "configuration"
    """Something of its entry cannot be used."""
    FAILED = "failed"
    """It ended with any other exit code, or could not be started."""


_BY_CODE: Final = MappingProxyType(
    {
        5: EndCause.BUSY,
        73: EndCause.STATE,
        77: EndCause.REFUSED,
        78: EndCause.CONFIGURATION,
    }
)


def end_cause(child: Child, code: int | None, signal: int | None) -> EndCause:
    """Return why it ended; `child` is as it was when it did."""
    if child.wanted is not Wanted.RUN:
        return EndCause.ASKED
    if child.state is ChildState.KILLED:
        return EndCause.HUNG if child.doubted else EndCause.LATE
    if signal is not None:
        return EndCause.CRASHED
    return EndCause.FAILED if code is None else _BY_CODE.get(code, EndCause.FAILED)
