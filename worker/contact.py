"""Whether the server answers, and how long to wait when it does not.

Each loop counts its own failures and draws its own waits. When the server could not be reached, the
first loop that succeeds wakes all others, so a server that is back is found by everybody at once.
When it was reached and said no, only the loop that was refused waits: that others succeed is no
reason to hurry. The log hears of the beginning and the end, once.
"""

import logging
import math
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

    def __init__(
        self, draw: Callable[[], float], changed: Bell, backoff: Backoff = BACKOFF
    ) -> None:
        self.draw = draw
        self.backoff = backoff
        self.reached_at = -math.inf
        """When the server answered last, by the event loop's clock."""
        self.unreached: OrchestratorError | None = None
        """Why nobody answers; `None` while somebody does."""
        self.bell = changed
        """Rings when anything has changed that another loop, or a person, may wait for."""
        self._tries: list[Tries] = []

    def tries(self, *, latest_s: float = LATEST_S) -> "Tries":
        """Return the account of one loop, which never waits longer than `latest_s`."""
        self._tries.append(Tries(self, latest_s))
        return self._tries[-1]

    @property
    def put_off(self) -> OrchestratorError | None:
        """Return what the server said no to, if it answers and some loop was refused."""
        return next((one.refusal for one in self._tries if one.refusal is not None), None)

    @property
    def next_try_at(self) -> float:
        """Return when the first loop that waits asks again."""
        return min((one.again_at for one in self._tries), default=math.inf)

    def restored(self) -> None:
        """Note that the server answered."""
        self.reached_at = anyio.current_time()
        if self.unreached is not None:
            self.unreached = None
            logs.event(LOGGER, logging.INFO, "server.reached")
            self.bell.ring()

    def lose(self, error: OrchestratorError) -> None:
        """Note that nobody answered."""
        if self.unreached is None:
            _warn("server.lost", error)
        self.unreached = error
        self.bell.ring()

    async def restored_within(self, timeout_s: float) -> None:
        """Wait until another loop has reached the server, at most that long."""
        deadline = anyio.current_time() + timeout_s
        await self.bell.until(lambda: self.unreached is None, deadline=deadline)


class Tries:
    """One loop's failures in a row."""

    def __init__(self, contact: Contact, latest_s: float) -> None:
        self._contact = contact
        self._latest_s = latest_s
        self._failures = 0
        self.refusal: OrchestratorError | None = None
        """What the server said no to, while that is waited for."""
        self.again_at = math.inf
        """When it is tried again, while it waits for that."""

    def succeeded(self) -> None:
        """Note that the server answered."""
        self._failures = 0
        self._contact.restored()

    async def failed(self, error: OrchestratorError) -> None:
        """Wait before the next try, longer each time."""
        self._failures += 1
        delay_s = self._contact.backoff.delay(self._failures, draw=self._contact.draw())
        delay_s = min(delay_s, self._latest_s)
        if isinstance(error, Overloaded):
            delay_s = max(delay_s, min(error.retry_after_s, self._latest_s))
        self.again_at = anyio.current_time() + delay_s
        try:
            await self._wait(error, delay_s)
        finally:
            self.again_at = math.inf

    async def _wait(self, error: OrchestratorError, delay_s: float) -> None:
        if isinstance(error, ServerUnreachable):
            self._contact.lose(error)
            await self._contact.restored_within(delay_s)
            return
        if self._failures == 1:
            _warn("server.refused", error)
        self.refusal = error
        self._contact.restored()
        self._contact.bell.ring()
        try:
            await anyio.sleep(delay_s)
        finally:
            # The next answer may take its time: a question for work waits for some.
            self.refusal = None
            self._contact.bell.ring()


def _warn(event: str, error: OrchestratorError) -> None:
    logs.event(
        LOGGER,
        logging.WARNING,
        event,
        code=error.problem_code,
        reason=error.message,
        next="jobs go on; trying again",
    )
