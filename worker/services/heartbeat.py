"""Keep the session alive, and hear orders at once: a question that waits for its answer."""

from typing import Final, Protocol

import anyio

from orchestrator.kernel.errors import OrchestratorError
from orchestrator.protocol.limits import CLAIM_WAIT_S
from orchestrator.protocol.wire import HeartbeatRequest, LiveAttempt
from orchestrator.protocol.words import Directive
from worker.link import Link
from worker.logic.attempt import Key
from worker.services.session import SessionKeeper

OLD_NEWS_S: Final = 0.5
"""A server that repeats what we know, or speaks of what is still on its way to us, is not asked
again at once."""
LATEST_S: Final = 10.0
"""However busy the server says that it is: a worker is shown as offline after 30 s of silence, and
loses its leases after 60 s."""


class Obedient(Protocol):
    """Who has the attempts."""

    def live(self) -> list[LiveAttempt]:
        """Return all that the server should know to be here."""
        ...

    def order(self, key: Key, directive: Directive) -> bool:
        """Hear an order; tell whether it was any news."""
        ...


class Heart:
    """The heartbeat of one worker."""

    def __init__(self, link: Link, keeper: SessionKeeper, obedient: Obedient) -> None:
        self._link = link
        self._keeper = keeper
        self._obedient = obedient
        self._asking = anyio.CancelScope()

    def beat(self) -> None:
        """Speak to the server now: what it was told is not true any more."""
        self._asking.cancel()

    async def run(self) -> None:
        """Beat for ever."""
        tries = self._keeper.contact.tries(latest_s=LATEST_S)
        while True:
            claims = await self._keeper.current()
            request = HeartbeatRequest(
                session_id=claims.session_id,
                claim_seen=claims.seen,
                attempts=self._obedient.live(),
                wait_s=min(self._keeper.heartbeat_s, CLAIM_WAIT_S),
            )
            with anyio.CancelScope() as self._asking:
                try:
                    reply = await self._link.heartbeat(request)
                except OrchestratorError as error:
                    await self._keeper.trouble(claims, error, tries)
                    continue
                tries.succeeded()
                if claims is not self._keeper.claims:
                    continue
                orders = reply.orders
                news = [
                    self._obedient.order(Key(order.job_id, order.attempt), order.directive)
                    for order in orders
                ]
                if orders and not any(news):
                    await anyio.sleep(OLD_NEWS_S)
