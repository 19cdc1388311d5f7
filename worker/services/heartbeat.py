"""Keep the session alive, and hear orders at once: a question that waits for its answer."""

from typing import Final, Protocol

import anyio

from orchestrator.kernel.errors import OrchestratorError
from orchestrator.protocol.limits import CLAIM_WAIT_S
from orchestrator.protocol.wire import HeartbeatRequest, LiveAttempt, Order
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
                offer=self._keeper.offer,
                attempts=self._obedient.live(),
                wait_s=self._wait_s(),
            )
            trouble, sent = None, self._keeper.clock.now()
            with anyio.CancelScope() as self._asking:
                try:
                    reply = await self._link.heartbeat(request)
                except OrchestratorError as error:
                    trouble = error
                else:
                    tries.succeeded()
                    if claims is self._keeper.claims:
                        self._keeper.said_time(sent, reply.server_time_us)
                        await self._hear(reply.orders)
            if trouble is not None:
                await self._keeper.trouble(claims, trouble, tries)

    def _wait_s(self) -> float:
        """Return how long an order may be waited for; who was away is to say at once: I am back."""
        if self._keeper.contact.unreached is not None:
            return 0.0
        return min(self._keeper.heartbeat_s, CLAIM_WAIT_S)

    async def _hear(self, orders: list[Order]) -> None:
        news = [
            self._obedient.order(Key(order.job_id, order.attempt), order.directive)
            for order in orders
        ]
        if orders and not any(news):
            await anyio.sleep(OLD_NEWS_S)
