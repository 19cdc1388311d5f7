"""Bring the server what it does not have yet: reports for all, uploads for who has much to say.

One report is under way at a time and holds all that has gathered; nothing is delayed for the sake
of a fuller one. Output that is too much for a report goes beside it, so that one job's flood does
not stand before another's end.
"""

import logging
from collections.abc import Iterable, Mapping
from typing import Final, Protocol

from orchestrator.kernel import logs
from orchestrator.kernel.bell import Bell
from orchestrator.kernel.errors import OrchestratorError, PeerBroken, RequestInvalid
from orchestrator.kernel.failpoints import reached
from orchestrator.protocol.wire import Ack, Ended, Progress, Released, ReportRequest, Started
from orchestrator.protocol.words import Directive
from worker.contact import Tries
from worker.link import Link
from worker.logic.attempt import Key
from worker.logic.lane import Standing
from worker.logic.outbox import Outbox
from worker.logic.session import Claims
from worker.services.session import SessionKeeper

LOGGER: Final = logging.getLogger(__name__)
UPLOADERS: Final = 2
"""One that sends while the other waits for its answer fills the way to the server."""

_GOES_ON: Final = "no progress of it is told any more; all else is, as long as that is understood"
_TOLD_AS: Final[Mapping[Standing, tuple[str, int, str]]] = {
    Standing.PLAIN: (
        "attempt.report_refused",
        logging.ERROR,
        "its end is told without output and message; its log is kept in the spool's refused folder",
    ),
    Standing.SILENT: (
        "attempt.given_up",
        logging.ERROR,
        "a new session counts it as lost; its log stays in the spool and is told at the next start",
    ),
}


class Addressee(Protocol):
    """Who hears what the server answers."""

    def recorded(self, key: Key) -> None:
        """Hear that a start is recorded, and wanted."""
        ...

    def settled(self, key: Key) -> None:
        """Hear that an end is recorded."""
        ...

    def taken(self, key: Key, offset: int) -> None:
        """Hear how much output the server has."""
        ...

    def order(self, key: Key, directive: Directive) -> bool:
        """Hear an order; tell whether it was any news."""
        ...

    def refused(self, key: Key) -> None:
        """Hear that the server will not have all of it, so that people may want to look."""
        ...


class Courier:
    """The outbox, and the loops that empty it."""

    def __init__(self, link: Link, keeper: SessionKeeper) -> None:
        self.outbox = Outbox()
        self._link = link
        self._keeper = keeper
        self._work = Bell()
        self._room = Bell()

    @property
    def progress_s(self) -> float | None:
        """Return how often the server wants to hear how far an attempt is; `None`: never."""
        return self._keeper.progress_s

    def say(self, key: Key, event: Started | Progress | Ended | Released) -> None:
        """Have the server hear of a fact."""
        self.outbox.say(key, event)
        self._work.ring()

    def say_late(self, key: Key, event: Ended | Released) -> None:
        """Have the server hear how something ended of which it wanted to hear nothing more."""
        self.outbox.open(key)
        self.say(key, event)

    async def write(self, key: Key, offset: int, frames: bytes) -> None:
        """Have the server get output; return when there is room for more of it."""
        room = self.outbox.write(key, offset, frames)
        self._work.ring()
        if not room:
            await self._room.until(lambda: self.outbox.has_room(key))

    def forget(self, key: Key) -> None:
        """Say nothing more of an attempt."""
        self.outbox.forget(key)
        self._room.ring()

    def resume(self, key: Key, offset: int) -> None:
        """Go on in a new session, whose server has that much output."""
        self.outbox.resume(key, offset)
        self._work.ring()
        self._room.ring()

    async def report(self, addressee: Addressee) -> None:
        """Send reports for ever."""
        tries = self._keeper.contact.tries()
        while True:
            await self._work.until(lambda: self.outbox.has_reports)
            claims = await self._keeper.current()
            batch = self.outbox.next_report()
            if not batch.keys:
                continue
            request = ReportRequest(session_id=claims.session_id, events=batch.events)
            try:
                reply = await self._link.report(request)
            except RequestInvalid as error:
                self._refused(claims, batch.keys, error, addressee)
                continue
            except OrchestratorError as error:
                self._land(batch.keys)
                await self._keeper.trouble(claims, error, tries)
                continue
            reached("deliver.sent")
            await self._hear(claims, batch.keys, reply.acks, addressee, tries)
            reached("deliver.acked")

    async def upload(self, addressee: Addressee) -> None:
        """Send uploads for ever; run it `UPLOADERS` times."""
        tries = self._keeper.contact.tries()
        while True:
            await self._work.until(lambda: self.outbox.has_uploads)
            claims = await self._keeper.current()
            upload = self.outbox.next_upload()
            if upload is None:
                continue
            try:
                ack = await self._link.upload(claims.session_id, upload)
            except RequestInvalid as error:
                self._refused(claims, [upload.key], error, addressee)
                continue
            except OrchestratorError as error:
                self._land([upload.key])
                await self._keeper.trouble(claims, error, tries)
                continue
            reached("deliver.uploaded")
            await self._hear(claims, [upload.key], [ack], addressee, tries)

    def is_silent(self, key: Key) -> bool:
        """Tell whether nothing will be said of an attempt, because nothing was understood."""
        return self.outbox.is_silent(key)

    def _land(self, keys: Iterable[Key]) -> None:
        """Have a lost request made again, by whichever loop that falls to now.

        What went in a report can have become too much for one meanwhile, and nothing else may ever
        be said that would wake an uploader.
        """
        self.outbox.land(keys)
        self._work.ring()

    def _refused(
        self, claims: Claims, keys: list[Key], error: RequestInvalid, addressee: Addressee
    ) -> None:
        """Find out whose words the server does not understand, and go on with all others.

        To wait or to begin anew would help nobody: the same words would be refused again.
        """
        standing = self.outbox.refuse(keys)
        reason = "; ".join([error.message, *(f"{place}: {fault}" for place, fault in error.fields)])
        if standing is Standing.SUSPECT and len(keys) == 1:
            names = {"job": keys[0].job_id, "attempt": keys[0].number}
            event = "attempt.progress_refused"
            logs.event(LOGGER, logging.WARNING, event, **names, reason=reason, next=_GOES_ON)
        elif standing is Standing.SUSPECT:
            logs.event(LOGGER, logging.WARNING, "batch.refused", attempts=len(keys), reason=reason)
        elif standing in _TOLD_AS:
            event, level, goes_on = _TOLD_AS[standing]
            [key] = keys
            names = {"job": key.job_id, "attempt": key.number}
            logs.event(LOGGER, level, event, **names, reason=reason, next=goes_on)
            addressee.refused(key)
        if standing is Standing.SILENT:
            # As long as this session lasts the server would take it for running.
            self._keeper.refused(claims, error)
        self._work.ring()
        self._room.ring()

    async def _hear(
        self,
        claims: Claims,
        keys: list[Key],
        acks: Iterable[Ack],
        addressee: Addressee,
        tries: Tries,
    ) -> None:
        if claims is not self._keeper.claims:
            # An answer to a session that is over: what it says of our attempts is not true now.
            self._land(keys)
            return
        reaction = self.outbox.acknowledge(keys, acks)
        for key in reaction.recorded:
            addressee.recorded(key)
        for key in reaction.settled:
            addressee.settled(key)
        for key, offset in reaction.taken:
            addressee.taken(key, offset)
        for key, directive in reaction.orders:
            addressee.order(key, directive)
        self._room.ring()
        self._work.ring()
        if reaction.stuck:
            await tries.failed(PeerBroken("the server answers reports without recording them"))
        else:
            tries.succeeded()
