"""What of one attempt the server does not have yet, and what of it is under way.

It knows its own attempt only; which lanes go together in a request is the outbox's business.
"""

from collections import deque
from dataclasses import dataclass, field
from enum import Enum, IntEnum, auto
from typing import Final

from pydantic_core import to_json

from orchestrator.kernel.errors import PeerBroken
from orchestrator.protocol.limits import MIB, OUTPUT_INLINE_BYTES, OUTPUT_POST_BYTES
from orchestrator.protocol.wire import Ack, Ended, Output, Progress, Released, ReportEvent, Started
from worker.logic.attempt import Key

ROOM_BYTES: Final = 1 * MIB
"""Unacknowledged output in memory, before the log is read on. The log keeps it."""
_EVENT_BYTES: Final = 400
"""More than the JSON of any event without its output, message and result."""
_REFUSED: Final = "the server did not understand the full report: the worker's log names the fault"
EVENTS_MAX: Final = 4
"""A start, output, progress and an end."""


class Way(Enum):
    """How what is unsaid travels."""

    NONE = auto()
    REPORT = auto()
    UPLOAD = auto()


class Standing(IntEnum):
    """How the server took what was said of an attempt. It falls, and rises only to `GOOD`."""

    SILENT = auto()
    """Not even its end was understood: nothing more is said."""
    PLAIN = auto()
    """Something of it was not understood: nothing but its end is said, in the plainest words."""
    SUSPECT = auto()
    """A report that it was in was not understood: it is reported by itself."""
    GOOD = auto()


@dataclass(frozen=True, slots=True)
class Upload:
    """Output that is too much for a report."""

    key: Key
    offset: int
    frames: bytes


@dataclass(slots=True)
class _Flight:
    """What is under way."""

    started: bool = False
    until: int = 0
    progress: Progress | None = None
    ended: bool = False


@dataclass(slots=True)
class Lane:
    """The unsaid facts of one attempt, in their order: its start, its output, its end.

    Of its progress only the last word is kept, which says all that the others said.

    `base` is how much of its output the server has, `position` how far its log was read. `hole`
    says that what lies between the two is nowhere any more.
    """

    key: Key
    base: int = 0
    position: int = 0
    first: int = 0
    resumed: bool = False
    hole: bool = False
    standing: Standing = Standing.GOOD
    wordless: bool = False
    """Its progress was in what was not understood: none is said any more."""
    pieces: deque[bytes] = field(default_factory=deque)
    started: Started | None = None
    progress: Progress | None = None
    ended: Ended | Released | None = None
    flight: _Flight | None = None

    @property
    def pending(self) -> int:
        """Return the bytes of output that were read and are not acknowledged."""
        return 0 if self.hole else max(0, self.position - self.base)

    @property
    def _is_short(self) -> bool:
        """Tell whether its log is over before its output was: a power cut took the last of it.

        Its end is said when all of its log was read, so what it lacks then will never come.
        """
        ended = self.ended
        return isinstance(ended, Ended) and ended.output_length > max(self.base, self.position)

    @property
    def has_room(self) -> bool:
        """Tell whether more output may be read."""
        return self.pending < ROOM_BYTES

    @property
    def way(self) -> Way:
        """Return how its next facts travel: little output in a report, much of it as raw bytes."""
        if self.flight is not None or self.standing is Standing.SILENT:
            return Way.NONE
        if self.started is None and self.pending > OUTPUT_INLINE_BYTES:
            return Way.UPLOAD
        said = self.started or self.progress or self.ended
        anything = said is not None or self.pending
        return Way.REPORT if anything else Way.NONE

    @property
    def alone(self) -> bool:
        """Tell whether it must not be in one report with others."""
        return self.standing is not Standing.GOOD

    def say(self, event: Started | Progress | Ended | Released) -> None:
        """Add a fact."""
        if isinstance(event, Progress):
            silenced = self.wordless or self.standing <= Standing.PLAIN
            self.progress = None if silenced else event
        elif not isinstance(event, Started):
            self.ended = event
        elif self.standing > Standing.PLAIN:
            self.started = event

    def write(self, offset: int, frames: bytes) -> None:
        """Add what follows in the log. What the server has already is passed over."""
        if offset > max(self.base, self.position):
            # What was removed before this process began is no hole if the server has it.
            self.hole |= self.resumed or self.position > 0
            self.first = self.first or offset
        self.position = offset + len(frames)
        known = max(0, min(len(frames), self.base - offset))
        if known < len(frames) and not self.hole:
            self.pieces.append(frames[known:] if known else frames)

    def cost(self) -> int:
        """Return more bytes than what it would say in a report takes as JSON."""
        inline = self.pending if self.pending <= OUTPUT_INLINE_BYTES else 0
        cost = EVENTS_MAX * _EVENT_BYTES + inline * 4 // 3
        if isinstance(self.ended, Ended) and (self.ended.result or self.ended.message):
            cost += len(to_json(self.ended.result)) + 6 * len(self.ended.message or "")
        if self.progress is not None:
            cost += len(to_json(self.progress))
        return cost

    def report(self) -> list[ReportEvent]:
        """Return what goes into a report; it is under way."""
        flight = self.flight = _Flight()
        events: list[ReportEvent] = []
        if self.started is not None:
            flight.started = True
            events.append(self.started)
        if self.pending > OUTPUT_INLINE_BYTES:
            return events
        if self.pending:
            flight.until = self.position
            job_id, number = self.key
            frames = b"".join(self.pieces)
            events.append(Output(job_id=job_id, attempt=number, offset=self.base, frames=frames))
        if self.progress is not None:
            flight.progress = self.progress
            events.append(self.progress)
        if self.ended is not None:
            flight.ended = True
            ended = _final(self.ended) if self.hole or self._is_short else self.ended
            events.append(_plain(ended) if self.standing is Standing.PLAIN else ended)
        return events

    def upload(self) -> Upload:
        """Return as much output as one request takes; it is under way."""
        chosen: list[bytes] = []
        size = 0
        for piece in self.pieces:
            size += len(piece)
            if chosen and size > OUTPUT_POST_BYTES:
                break
            chosen.append(piece)
        frames = b"".join(chosen)
        self.flight = _Flight(until=self.base + len(frames))
        return Upload(self.key, self.base, frames)

    def refuse(self, *, alone: bool) -> None:
        """Note that the server did not understand a request; `alone` in it, it is to blame.

        What it says then is ever less, so that no answer can make us ask for ever.
        """
        said_progress = self.flight is not None and self.flight.progress is not None
        self.flight = None
        if not alone:
            self.standing = min(self.standing, Standing.SUSPECT)
        elif said_progress:
            # The job's own words, and nobody's loss: they go before its output does.
            self.standing = Standing.SUSPECT
            self.wordless, self.progress = True, None
        elif self.standing <= Standing.PLAIN:
            self.standing = Standing.SILENT
        else:
            self.standing = Standing.PLAIN
            self.started = self.progress = None
            self.hole = True
            self.pieces.clear()

    def arrive(self, ack: Ack) -> bool:
        """Drop what the server has; tell whether its answer changed nothing."""
        flight = self.flight or _Flight()
        self.flight = None
        if self.standing is Standing.SUSPECT:
            self.standing = Standing.GOOD
        if flight.started:
            self.started = None
        if flight.progress is self.progress:
            self.progress = None
        before = self.base
        self.advance(ack.output_offset)
        owed = flight.until > self.base and self.base <= before
        unsettled = flight.ended and not self.pending
        return owed or unsettled

    def resume(self, offset: int) -> None:
        """Go on where a new server session stands; what it lacks before our start is gone."""
        self.resumed = True
        self.advance(offset)
        if self.first > self.base:
            self.hole = True
            self.pieces.clear()

    def advance(self, offset: int) -> None:
        """Drop the output that the server has, up to `offset`."""
        if offset < self.base:
            raise PeerBroken(
                f"the server has {offset} bytes of the output of {self.key.job_id}, attempt "
                f"{self.key.number}, and had acknowledged {self.base}",
                hint="the worker begins anew and sends what it still has",
            )
        begun = max(self.first, min(self.base, self.position))
        gone = max(0, min(offset, self.position) - begun)
        self.base = offset
        while gone and self.pieces:
            piece = self.pieces.popleft()
            if len(piece) > gone:
                self.pieces.appendleft(piece[gone:])
            gone -= min(gone, len(piece))


def _final(ended: Ended | Released) -> Ended | Released:
    """Return an end that says: what you lack of the output you will never get."""
    return ended.model_copy(update={"output_final": True}) if isinstance(ended, Ended) else ended


def _plain(ended: Ended | Released) -> Ended | Released:
    """Return an end without anything that a server could fail to understand."""
    if not isinstance(ended, Ended):
        return ended
    return ended.model_copy(update={"result": None, "message": _REFUSED})
