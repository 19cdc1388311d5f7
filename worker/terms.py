"""On which terms a worker works now: its settings as they are, and what every job gets of them.

The one place that changes when a supervisor changes its mind. Whoever begins something asks here;
what has begun goes on as it was begun.
"""

import logging
from collections.abc import Mapping
from typing import Final

from orchestrator.core.enforcement import not_held
from orchestrator.kernel import logs
from orchestrator.kernel.delegation import delegated
from worker.logic.environment import common
from worker.settings import LiveSettings

LOGGER: Final = logging.getLogger(__name__)


class Terms:
    """The settings that hold now."""

    def __init__(self, settings: LiveSettings, surroundings: Mapping[str, str]) -> None:
        self._surroundings = surroundings
        self._delegation = delegated()
        self._warned: list[str] = []
        self.take(settings)

    def take(self, settings: LiveSettings) -> None:
        """Go by these from now on."""
        self.now = settings
        self.environment = common(self._surroundings, settings.env_pass, settings.env)
        """What every job finds, before its own."""
        ignored = not_held(settings.limits, self._delegation.controllers)
        if ignored and ignored != self._warned:
            logs.event(
                LOGGER,
                logging.WARNING,
                "limits.not_enforced",
                limits=", ".join(ignored),
                reason=self._delegation.reason,
                hint="jobs run without these limits; leave them out, or bound the whole service",
            )
        self._warned = ignored


class Called:
    """What a worker is called now, for log lines whose keys are bound once."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms

    def __str__(self) -> str:
        return self._terms.now.name
