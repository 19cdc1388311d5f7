"""Whether the server answers, and how long to wait when it does not.

Each loop counts its own failures and draws its own waits. When the server could not be reached, the
first loop that succeeds wakes all others, so a server that is back is found by everybody at once.
When it was reached and said no, only the loop that was refused waits: that others succeed is no
reason to hurry. The log hears of the beginning and the end, once.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import anyio

from orchestrator.kernel import logs
from orchestrator.kernel.backoff import Backoff
from orchestrator.kernel.bell import Bell
from orchestrator.kernel.errors import OrchestratorError, Overloaded, ServerUnreachable

LOGGER: Final = logging.getLogger(__name__)
BACKOFF: Final = Backoff(initial_s=0.2, factor=2.0, max_s=15.0)
"""With ten seconds for a connection that nobody answers, we are back within 30 s of the server."""
BACKOFF_HERE: Final = replace(BACKOFF, max_s=5.0)
"""For a server on our own machine: it is started again within seconds, and few of us ask it."""
LATEST_S: Final = 60.0
"""What a server may ask us to wait at most: the length of a lease."""


class Contact:
    """What all loops of a worker know of the server. `draw` is a uniform number from [0, 1)."""

    def __init__(self, draw: Callable[[], float], backoff: Backoff = BACKOFF) -> None:
        self.draw = draw
        self.backoff = backoff
        self._restored = Bell()
        self._lost = False

    def tries(self, *, latest_s: float = LATEST_S) -> "Tries":
        """Return the account of one loop, which never waits longer than `latest_s`."""
        return Tries(self, latest_s)

    def restored(self) -> None:
        """Note that the server answered."""
        if self._lost:
            self._lost = False
            logs.event(LOGGER, logging.INFO, "server.reached")
            self._restored.ring()

    def lose(self, error: OrchestratorError) -> None:
        """Note that nobody answered."""
        if not self._lost:
            self._lost = True
            _warn("server.lost", error)

    async def restored_within(self, timeout_s: float) -> None:
        """Wait until another loop has reached the server, at most that long."""
        deadline = anyio.current_time() + timeout_s
        await self._restored.until(lambda: not self._lost, deadline=deadline)


class Tries:
    """One loop's failures in a row."""

    def __init__(self, contact: Contact, latest_s: float) -> None:
        self._contact = contact
        self._latest_s = latest_s
        self._failures = 0

    def succeeded(self) -> None:
        """Note that the server answered."""
        self._failures = 0
        self._contact.restored()

    async def failed(self, error: OrchestratorError) -> None:
        """Wait before the next try, longer each time."""
        self._failures += 1
        delay_s = self._contact.backoff.delay(self._failures, draw=self._contact.draw())
        delay_s = min(delay_s, self._latest_s)
        if isinstance(error, ServerUnreachable):
            self._contact.lose(error)
            await self._contact.restored_within(delay_s)
            return
        self._contact.restored()
        if self._failures == 1:
            _warn("server.refused", error)
        if isinstance(error, Overloaded):
            delay_s = max(delay_s, min(error.retry_after_s, self._latest_s))
        await anyio.sleep(delay_s)


def _warn(event: str, error: OrchestratorError) -> None:
    logs.event(
        LOGGER,
        logging.WARNING,
        event,
        code=error.problem_code,
        reason=error.message,
        next="jobs go on; trying again",
    )
