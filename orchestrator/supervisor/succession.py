"""What this process becomes when it has ended: itself anew, or another version of itself.

It keeps its pid, so whoever started it sees no end, and it begins like any start: a fresh program
in which no thread and no lock of the old one is left. Jobs run on in their shims meanwhile. What
was begun anew as another version proves itself by being ready in time; until then it knows what to
return to.
"""

import json
import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from orchestrator.kernel import logs
from orchestrator.kernel.notify import Notifier

LOGGER: Final = logging.getLogger(__name__)
VARIABLE: Final = "ORCHESTRATOR_UPGRADE"
PROVE_S: Final = 30.0
"""So long a new version may take until every worker has answered."""
Command = tuple[str, ...]


def own_command() -> Command:
    """Return how this process was started."""
    return (sys.executable, *sys.orig_argv[1:])


def command_of(program: str) -> Command:
    """Return the same with another program."""
    return (program, *sys.argv[1:])


@dataclass(slots=True)
class Succession:
    """Where this process comes from, and where it goes."""

    predecessor: Command = ()
    """The version that it was before, as long as this one has not proved itself."""
    began_anew: bool = False
    """It was another process image before, with the same pid."""
    rolled_back: bool = False
    """A newer version did not prove itself, and this is the old one again."""
    successor: Command = ()
    """What it becomes when everything has ended."""
    environment: dict[str, str] = field(default_factory=dict)

    @classmethod
    def told_by(cls, environ: Mapping[str, str]) -> "Succession":
        """Return what the process image before this one said."""
        try:
            said = json.loads(environ.get(VARIABLE, "null"))
        except ValueError:
            said = None
        if not isinstance(said, dict):
            return cls()
        predecessor = said.get("predecessor")
        known = predecessor if isinstance(predecessor, list) else []
        return cls(
            predecessor=tuple(str(word) for word in known),
            began_anew=True,
            rolled_back=said.get("rolled_back") is True,
        )

    def become(self, command: Command, *, returning: bool = False, to_prove: bool = False) -> None:
        """Note what comes next; one that has to prove itself knows what to return to."""
        own = list(own_command()) if to_prove else []
        self.successor = command
        self.environment = {VARIABLE: json.dumps({"predecessor": own, "rolled_back": returning})}

    def settle(self) -> None:
        """Return to nothing any more: this version has proved itself, or somebody ends it."""
        self.predecessor = ()

    def carry_on(self, environ: Mapping[str, str], notifier: Notifier) -> None:
        """Become what comes next, if anything does; whoever is here when this returns may end."""
        if not self.successor and self.predecessor:
            # It failed before it could prove itself.
            why = "" if (error := sys.exception()) is None else f"{type(error).__name__}: {error}"
            logs.event(LOGGER, logging.ERROR, "run.not_proven", why=why or "it ended")
            self.become(self.predecessor, returning=True)
        if not self.successor:
            return
        told = notifier.variables(os.getpid()) | self.environment
        os.execve(self.successor[0], self.successor, {**environ, **told})  # noqa: S606 - our own
