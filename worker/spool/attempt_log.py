"""The log of one attempt: what its shim has written and will write, and how to end it.

It knows one attempt, and decides nothing about it. A log is the same object, with the same records
in the same order, for an attempt that was just started, for one that was found running, and for one
that ended while nobody looked: what is behind it, a `Shim`, is all that differs.
"""

from collections.abc import AsyncIterator
from typing import Final, Protocol

from anyio.lowlevel import checkpoint

from worker.records import Began, Cause, Exited, Log, Phase, Record, Vanished, Wrote
from worker.shim import layout
from worker.spool import remains
from worker.spool.segment import BUFFER_BYTES, Key, Segment
from worker.spool.shims import NoShim, Shim
from worker.spool.tail import Place, Tail

_UNBROKEN_BYTES: Final = BUFFER_BYTES // 2
"""What one look at a long log brings, or more of it: a millisecond or two."""


class Keeper(Protocol):
    """What a log asks of the spool that it is in."""

    def find(self, name: str) -> Segment | None:
        """Return a segment by its name, if there is one."""
        ...

    def wrote(self, log: "AttemptLog", segment: Segment) -> None:
        """Hear of new output."""
        ...

    def ended(self, log: "AttemptLog", segment: Segment) -> None:
        """Hear of an exit record."""
        ...

    def drop(self, log: "AttemptLog", place: Place) -> None:
        """Remember that this part of the output is not needed any more."""
        ...

    def settle(self, log: "AttemptLog") -> None:
        """Remember that nothing of the attempt is needed any more."""
        ...


class AttemptLog:
    """One attempt, as its segments tell it."""

    def __init__(
        self, key: Key, keeper: Keeper, shim: Shim, places: list[Place], phase: Phase = "granted"
    ) -> None:
        self.key = key
        self.job_id, self.attempt = key
        self.phase: Phase = phase
        """How far it has come, as far as it was read."""
        self.places = places
        """Where the parts of it are that are still needed."""
        self.end: int | None = None
        """Where it ends in the last of them."""
        self.kept = False
        """Whether people may want to look at it when it is settled."""
        self._keeper = keeper
        self._shim = shim
        for place in places:
            place.segment.hold(key, place.position)

    async def records(self) -> AsyncIterator[Record]:
        """Yield what is written now and later, its output from the first place that is there.

        It ends with `Exited` or `Vanished`. It may be read again, but by one reader at a time.
        """
        tail = Tail(self.key, self.places[0], self._go_on)
        alive, unbroken = True, 0
        while True:
            news = False
            for record in tail.read():
                news = True
                self._note(record, tail)
                yield record
                unbroken += len(record.frames) if isinstance(record, Wrote) else 0
                if unbroken >= _UNBROKEN_BYTES:
                    # A long log that is found again is read at once, and whoever hears of it has
                    # no reason to wait where the server has it all: others have their turn here.
                    unbroken = 0
                    await checkpoint()
            if tail.phase == "ended":
                return
            if alive and not tail.cut:
                alive = await self._shim.more(news=news)
            elif not tail.cut and self._keeper.find(
                successor := layout.successor(tail.segment.name)
            ):
                # Killed just as it went on: the new segment is there, and nothing leads to it.
                tail.go_on_in(successor)
            else:
                yield await self._vanished(tail)
                return

    def cancel(self, cause: Cause, grace_s: float) -> None:
        """Have it ended, if it runs: its group gets SIGTERM, and after the grace all are killed.

        That it was ended, and that nobody is left, is told by its records alone.
        """
        self._shim.cancel(cause, grace_s)

    def acknowledged(self, offset: int) -> None:
        """Note that the server has the output up to there: what lies before may be removed."""
        while len(self.places) > 1:
            place = self.places[1]
            # What was not read yet has no digest yet, and that is kept nowhere else.
            if not place.reached or place.log.length > offset:
                return
            self._keeper.drop(self, self.places.pop(0))

    def keep(self) -> None:
        """Note that people may want to look at it: when it is settled its segments stay, aside."""
        self.kept = True

    def settle(self) -> None:
        """Note that the server has its end: all of it may be removed."""
        self._keeper.settle(self)

    def _note(self, record: Record, tail: Tail) -> None:
        match record:
            case Wrote():
                self._keeper.wrote(self, tail.source)
            case Began():
                self.phase = "running"
            case Exited():
                self.phase, self.end = "ended", tail.position
                self._keeper.ended(self, tail.segment)
                self._shim.ended(tail.segment, tail.position)
                self._shim = NoShim()
            case Vanished():
                pass

    def _go_on(self, name: str, log: Log) -> Segment | None:
        segment = self._keeper.find(name)
        if segment is None:
            # Somebody removed it. One lost attempt is no reason never to start again.
            return None
        place = Place(segment, 0, log)
        known = [place.segment for place in self.places]
        if segment in known:
            self.places[known.index(segment)] = place
        else:
            self.places.append(place)
            segment.hold(self.key, 0)
        # Where it has said nothing, nothing is waited for: the shim left a long segment for this
        # attempt, and that may be the last but its word for hours.
        self.acknowledged(self.places[0].log.length)
        return segment

    async def _vanished(self, tail: Tail) -> Vanished:
        tail.segment.closed = True
        self._shim.lost()
        self._shim = NoShim()
        if tail.granted:
            await remains.end_all(self.key, tail.process, tail.segment.group())
            tail.segment.rest()
        return Vanished(may_have_run=tail.granted, log=tail.log)
