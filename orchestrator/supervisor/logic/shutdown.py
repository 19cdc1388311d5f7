"""How a run ends: each time somebody asks, less patiently.

Draining lets jobs finish, interrupting ends them and gives them back, leaving ends only us. Which
signal asks and which one urges is the shell's business, as is what every phase means for a child.
"""

from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Phase(StrEnum):
    """How far a run is from its end."""

    RUNNING = "running"
    DRAINING = "draining"
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
        (Phase.INTERRUPTING, Push.ASKED): Phase.LEAVING,
        (Phase.INTERRUPTING, Push.URGED): Phase.LEAVING,
        (Phase.LEAVING, Push.ASKED): Phase.LEAVING,
        (Phase.LEAVING, Push.URGED): Phase.LEAVING,
    }
)
"""Total: a person who presses a key twice must never meet an error."""


def pushed(phase: Phase, push: Push) -> Phase:
    """Return the phase that follows."""
    return NEXT[phase, push]
