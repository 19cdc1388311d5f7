"""Ask for work whenever a slot is free: one question at a time, for as many as are free."""

from collections.abc import Callable
from typing import Protocol

import anyio

from orchestrator.kernel.bell import Bell
from orchestrator.kernel.errors import OrchestratorError
from orchestrator.protocol.limits import CLAIM_WAIT_S
from orchestrator.protocol.wire import ClaimRequest, Grant
from worker.contact import Tries
from worker.link import Link
from worker.logic.session import Claims
from worker.services.session import SessionKeeper


class Taker(Protocol):
    """Who has the slots."""

    @property
    def free(self) -> int:
        """Return how many attempts can be taken now."""
        ...

    @property
    def changed(self) -> Bell:
        """Return what rings when a slot may have become free."""
        ...

    def take(self, grant: Grant) -> None:
        """Run an attempt."""
        ...


class Claimer:
    """The questions of one worker."""

    def __init__(
        self, link: Link, keeper: SessionKeeper, taker: Taker, job_id: str | None = None
    ) -> None:
        """Ask for whatever there is, or for that one job."""
        self._job_id = job_id
        self._link = link
        self._keeper = keeper
        self._taker = taker
        self._asking = anyio.CancelScope()
        self.draining = False
        """Whether nothing more is asked for."""

    def drain(self, tell: Callable[[], None]) -> None:
        """Ask no more."""
        self.draining = True
        self._withdraw(tell)

    def reconsider(self, tell: Callable[[], None]) -> None:
        """Hear that there may be another number of slots free: what is asked may be too much."""
        claims = self._keeper.claims
        if claims is not None and claims.asked > self._taker.free:
            self._withdraw(tell)
        else:
            self._taker.changed.ring()

    def _withdraw(self, tell: Callable[[], None]) -> None:
        """Take the question back. What it may still bring goes back, once `tell` is heard.

        The heartbeat names the question as answered and lists nothing of it.
        """
        self._asking.cancel()
        if self._keeper.claims is not None:
            self._keeper.claims.close()
        self._taker.changed.ring()
        tell()

    def _may_ask(self) -> bool:
        return not self.draining and self._taker.free > 0

    def _is_awaited(self, claims: Claims, request: ClaimRequest) -> bool:
        """Tell whether what an answer grants is still ours to take.

        It may have arrived in the very turn in which the question was withdrawn, too late to be
        stopped: the heartbeat says by now that nothing of it is here, and the server gives it to
        another. Or a new session was told what we hold, and this is not among it.
        """
        return claims.awaits(request) and claims is self._keeper.claims

    async def run(self) -> None:
        """Take attempts until told to drain."""
        tries = self._keeper.contact.tries()
        while not self.draining:
            await self._taker.changed.until(lambda: self.draining or self._may_ask())
            with anyio.CancelScope() as self._asking:
                claims = await self._keeper.current()
            # Told to drain, or filled up by what a new session found again, while we waited.
            if self._asking.cancel_called or not self._may_ask():
                continue
            await self._ask(claims, tries)

    async def _ask(self, claims: Claims, tries: Tries) -> None:
        request = claims.ask(slots=self._taker.free, wait_s=CLAIM_WAIT_S, job_id=self._job_id)
        trouble = None
        with anyio.CancelScope() as self._asking:
            try:
                reply = await self._link.claim(request)
            except OrchestratorError as error:
                trouble = error
            else:
                tries.succeeded()
                if not self._is_awaited(claims, request):
                    return
                # Together and at once: a heartbeat must not name the answer without its attempts.
                claims.close()
                for grant in reply.grants:
                    self._taker.take(grant)
        if trouble is not None:
            # Outside: a share that comes and goes must not make a server that is away be asked
            # each time.
            await self._keeper.trouble(claims, trouble, tries)
