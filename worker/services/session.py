"""Keep a session open with the server: begin one, begin another when it is refused.

All other loops ask here for the session that is valid now, and come back here with every error.
At each beginning the server hears what we still hold, and says what to do with it.
"""

import logging
from collections.abc import Callable
from typing import Final

import anyio

from orchestrator.kernel import logs
from orchestrator.kernel.backoff import Backoff
from orchestrator.kernel.clock import Clock
from orchestrator.kernel.errors import OrchestratorError
from orchestrator.kernel.failpoints import reached
from orchestrator.protocol.wire import HeldAttempt, HeldVerdict, Offer, SessionReply, SessionRequest
from worker.contact import Contact, Tries
from worker.link import Link
from worker.logic.session import Claims, Next, SessionEvent, SessionState, after, next_state
from worker.logic.standing import Matter, skew_of

LOGGER: Final = logging.getLogger(__name__)
RIVALRY: Final = Backoff(initial_s=0.5, factor=2.0, max_s=60.0)
"""Between sessions that hardly live. Two processes that end each other's are at peace for half a
minute each in the end; one that was ended for a passing reason is back in half a second."""
_CONTESTED: Final = 2
"""So many in a row are no chance any more."""
CONTESTED: Final = Matter(
    "sessions end as soon as they begin: another process seems to use the same token and a copy "
    "of the same state directory",
    "give each worker a token of its own, or stop the other one; with another state directory "
    "--takeover ends its session",
)
SUPERSEDED: Final = "session_superseded"
"""The server's code for a worker that is connected already, with another memory."""


class SessionKeeper:
    """The session of this worker."""

    def __init__(
        self, link: Link, contact: Contact, clock: Clock, introduction: SessionRequest
    ) -> None:
        self._link = link
        self.contact = contact
        self.clock = clock
        self._introduction = introduction
        self._changed = contact.bell
        self.rival: Matter | None = None
        """What shows that another process works under our token."""
        self.refusal: OrchestratorError | None = None
        """Why the server opened no session the last time it was asked."""
        self.skew_s: float | None = None
        """How far our clock is before the server's, if that is much."""
        self.state = SessionState.CLOSED
        self.claims: Claims | None = None
        """The session that is open, with its claims; `None` while there is none."""
        self.heartbeat_s = 0.0
        self.progress_s: float | None = None
        """How often the server wants to hear of progress; never, if it is an older one."""
        self._short_lives = 0
        self._lasting_from = 0.0
        """When the session will have lived so long that its end says nothing about a rival."""

    @property
    def offer(self) -> Offer:
        """Return what this worker has to offer now."""
        told = self._introduction
        return Offer(slots=told.slots, kinds=told.kinds, tags=told.tags)

    def introduce(self, offer: Offer) -> None:
        """Offer something else from now on; the next heartbeat says so, and each new session."""
        self._introduction = self._introduction.model_copy(update=dict(offer))

    def has_left(self) -> bool:
        """Tell whether there will be no session any more."""
        return self.state is SessionState.LEFT

    async def current(self) -> Claims:
        """Return the session that is open, waiting for one."""
        while self.claims is None:
            await self._changed.until(lambda: self.claims is not None)
        return self.claims

    async def run(
        self,
        held: Callable[[], list[HeldAttempt]],
        judge: Callable[[list[HeldVerdict]], None],
    ) -> None:
        """Have a session open until told to leave; `judge` hears the verdicts before anybody."""
        tries, number = self.contact.tries(), self._introduction.number
        while not self.has_left():
            number += 1
            request = self._introduction.model_copy(update={"held": held(), "number": number})
            sent = self.clock.now()
            try:
                reply = await self._link.open_session(request)
            except OrchestratorError as error:
                if after(error, opening=True) is Next.LEAVE:
                    raise
                await self._not_opened(error, tries)
                continue
            tries.succeeded()
            if self.has_left():
                return
            self.said_time(sent, reply.server_time_us)
            reached("session.opened")
            judge(reply.verdicts)
            self._open(reply)
            await self._changed.until(lambda: self.claims is None)
            await self._give_way()

    async def _not_opened(self, error: OrchestratorError, tries: Tries) -> None:
        self.refusal = error
        if error.problem_code == SUPERSEDED:
            self.rival = Matter(error.message, error.hint)
        await tries.failed(error)

    def said_time(self, sent: float, server_time_us: int) -> None:
        """Hear what time it is for the server, which said so since we asked."""
        said, was_right = server_time_us / 1_000_000, self.skew_s is None
        self.skew_s = skew_of(sent=sent, said=said, received=self.clock.now())
        if was_right is (self.skew_s is None):
            return
        if self.skew_s is not None:
            logs.event(LOGGER, logging.WARNING, "clock.wrong", ahead_s=round(self.skew_s))
        else:
            logs.event(LOGGER, logging.INFO, "clock.right")
        self._changed.ring()

    async def _give_way(self) -> None:
        """Wait before the next session if this one was ended before a lease was over.

        Most likely another process opened one with the same token: beginning anew at once would
        end that one, which would do the same, and no job would ever be let alone.
        """
        if anyio.current_time() >= self._lasting_from:
            self._short_lives = 0
            self.rival = None
            return
        self._short_lives += 1
        if self._short_lives == _CONTESTED:
            self.rival = CONTESTED
            logs.event(
                LOGGER,
                logging.WARNING,
                "session.contested",
                **CONTESTED._asdict(),
                next="trying again, less and less often",
            )
        await anyio.sleep(RIVALRY.delay(self._short_lives, draw=self.contact.draw()))

    def _open(self, reply: SessionReply) -> None:
        self.refusal = None
        if self._short_lives < _CONTESTED:
            self.rival = None
        self._become(SessionEvent.OPENED, Claims(reply.session_id))
        self.heartbeat_s = reply.heartbeat_s
        self.progress_s = reply.progress_s
        self._lasting_from = anyio.current_time() + reply.lease_s
        verdicts = [verdict.verdict for verdict in reply.verdicts]
        logs.event(
            LOGGER,
            logging.INFO,
            "session.opened",
            session=reply.session_id,
            held=len(verdicts),
            abandoned=sum(verdict == "abandon" for verdict in verdicts),
        )

    def _become(self, event: SessionEvent, claims: Claims | None) -> None:
        self.state = next_state(self.state, event)
        self.claims = claims
        self._changed.ring()

    async def trouble(self, claims: Claims, error: OrchestratorError, tries: Tries) -> None:
        """Do what an error within a session asks for: wait, begin another session, or end."""
        match after(error, opening=False):
            case Next.AGAIN:
                await tries.failed(error)
            case Next.REOPEN:
                self.refused(claims, error)
            case Next.LEAVE:
                raise error

    def refused(self, claims: Claims, error: OrchestratorError) -> None:
        """Note that a session is over, unless another one has taken its place already."""
        if claims is self.claims:
            logs.event(LOGGER, logging.WARNING, "session.refused", reason=error.message)
            self._become(SessionEvent.REFUSED, None)

    def leave(self) -> Claims | None:
        """End the session for good; return what was open."""
        claims = self.claims
        self._become(SessionEvent.LEFT, None)
        return claims
