"""A worker's session as the worker sees it: its life, its claims, and what a refusal means.

    closed ──opened──► open ──refused──► closed        closed, open ──left──► left

Claims are numbered from 1 in each session. A number whose answer was lost is asked for again and
brings the same attempts; the heartbeat names the last number that was answered, so what was granted
and never arrived is seen to be nobody's.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from orchestrator.kernel.errors import (
    Forbidden,
    IllegalTransition,
    Mistaken,
    NotClaimable,
    OrchestratorError,
    Refused,
    RequestInvalid,
    Unauthenticated,
    VersionUnsupported,
)
from orchestrator.protocol.limits import CLAIM_BATCH
from orchestrator.protocol.wire import ClaimRequest


class SessionState(StrEnum):
    """Where a session is in its life."""

    CLOSED = "closed"
    OPEN = "open"
    LEFT = "left"


class SessionEvent(StrEnum):
    """What moves it on."""

    OPENED = "opened"
    REFUSED = "refused"
    LEFT = "left"


S = SessionState
E = SessionEvent

TRANSITIONS: Final[Mapping[tuple[SessionState, SessionEvent], SessionState]] = MappingProxyType(
    {
        (S.CLOSED, E.OPENED): S.OPEN,
        (S.OPEN, E.REFUSED): S.CLOSED,
        (S.CLOSED, E.LEFT): S.LEFT,
        (S.OPEN, E.LEFT): S.LEFT,
    }
)


def next_state(state: SessionState, event: SessionEvent) -> SessionState:
    """Return the state that follows, or raise `IllegalTransition`."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise IllegalTransition(f"a session that is {state} cannot be {event}") from None


class Claims:
    """The numbering of one session's claims: one is under way at a time."""

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id
        self.seen = 0
        """The last number whose answer arrived: what the heartbeat names."""
        self._asked: ClaimRequest | None = None

    def ask(self, *, slots: int, wait_s: float, job_id: str | None = None) -> ClaimRequest:
        """Return what to ask: the last question again, word for word, if it was never answered."""
        if self._asked is None:
            self._asked = ClaimRequest(
                session_id=self.session_id,
                number=self.seen + 1,
                slots=min(slots, CLAIM_BATCH),
                wait_s=wait_s,
                job_id=job_id,
            )
        return self._asked

    @property
    def asked(self) -> int:
        """Return for how many attempts a question is open."""
        return 0 if self._asked is None else self._asked.slots

    def awaits(self, request: ClaimRequest) -> bool:
        """Tell whether that question is still open."""
        return self._asked is request

    def close(self) -> None:
        """Note that the question is answered, or that its answer is not wanted any more.

        What an unwanted answer grants is missing in the next heartbeat, and so goes back.
        """
        if self._asked is not None:
            self.seen = self._asked.number
            self._asked = None


class Next(StrEnum):
    """What to do after an error of the server's or the network's."""

    AGAIN = "again"
    """Wait, and ask the same once more."""
    REOPEN = "reopen"
    """This session is over: begin another."""
    LEAVE = "leave"
    """Nothing that this process does will help: end, and say why."""


def after(error: OrchestratorError, *, opening: bool) -> Next:
    """Return what to do after `error`, which came while opening a session or within one."""
    match error:
        case RequestInvalid() if not opening:
            # One question that it does not understand: what is reported is the courier's business.
            return Next.AGAIN
        case Unauthenticated() | VersionUnsupported() | Mistaken() | NotClaimable():
            return Next.LEAVE
        case Forbidden() if opening:
            return Next.LEAVE
        case Refused():
            return Next.AGAIN if opening else Next.REOPEN
        case _:
            return Next.AGAIN
