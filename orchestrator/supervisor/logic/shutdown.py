"""How a run ends: each time somebody asks, less patiently.

Draining lets jobs finish, interrupting ends them and gives them back, leaving ends only us. Where
jobs are kept on stop, the first time already ends only us, in order (*keeping*). Which
signal asks and which one urges is the shell's business, as is what every phase means for a child.
"""

from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Phase(StrEnum):
    """How far a run is from its end."""

    RUNNING = "running"
    DRAINING = "draining"
    KEEPING = "keeping"
    INTERRUPTING = "interrupting"
    LEAVING = "leaving"


class Push(StrEnum):
    """What moves it on."""

    ASKED = "asked"
    URGED = "urged"


NEXT: Final = MappingProxyType(
    {
        (Phase.RUNNING, Push.ASKED): Phase.DRAINING,
        (Phase.RUNNING, Push.URGED): Phase.INTERRUPTING,
        (Phase.DRAINING, Push.ASKED): Phase.INTERRUPTING,
        (Phase.DRAINING, Push.URGED): Phase.INTERRUPTING,
        (Phase.KEEPING, Push.ASKED): Phase.LEAVING,
        (Phase.KEEPING, Push.URGED): Phase.LEAVING,
        (Phase.INTERRUPTING, Push.ASKED): Phase.LEAVING,
        (Phase.INTERRUPTING, Push.URGED): Phase.LEAVING,
        (Phase.LEAVING, Push.ASKED): Phase.LEAVING,
        (Phase.LEAVING, Push.URGED): Phase.LEAVING,
    }
)
"""Total: a person who presses a key twice must never meet an error."""


def pushed(phase: Phase, push: Push, *, keep_jobs: bool = False) -> Phase:
    """Return the phase that follows; `keep_jobs`: to be asked to end does not end jobs."""
    if keep_jobs and (phase, push) == (Phase.RUNNING, Push.ASKED):
        return Phase.KEEPING
    return NEXT[phase, push]
