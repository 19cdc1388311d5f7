"""What the server does not have yet: the facts of every attempt in their order, in batches.

It knows no connection: it hands out what to send, and is told what came of it. For each attempt at
most one request is under way, so nothing can overtake anything; what was sent stays until it is
acknowledged, so a lost request is simply made again. Output up to `INLINE` rides in the report,
more goes as raw bytes; an end waits until all output before it has gone.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from pydantic_core import to_json

from orchestrator.kernel.errors import PeerBroken
from orchestrator.protocol.limits import (
    MIB,
    OUTPUT_INLINE_BYTES,
    OUTPUT_POST_BYTES,
    REPORT_BYTES,
    REPORT_EVENTS,
)
from orchestrator.protocol.wire import Ack, Ended, Output, Released, ReportEvent, Started
from orchestrator.protocol.words import Directive
from worker.logic.attempt import Key

ROOM_BYTES: Final = 1 * MIB
"""Unacknowledged output of one attempt in memory, before its log is read on. The log keeps it."""
_EVENT_BYTES: Final = 400
"""More than the JSON of any event without its output, message and result."""
_EVENTS_OF_ONE: Final = 3


@dataclass(slots=True)
class _Flight:
    """What of one attempt is under way."""

    started: bool = False
    until: int = 0
    ended: bool = False


@dataclass(slots=True)
class _Lane:
    """What of one attempt is unsaid. `base` is how much of its output the server has."""

    key: Key
    base: int = 0
    position: int = 0
    pieces: deque[bytes] = field(default_factory=deque)
    started: Started | None = None
    ended: Ended | Released | None = None
    flight: _Flight | None = None

    @property
    def pending(self) -> int:
        return max(0, self.position - self.base)


@dataclass(frozen=True, slots=True)
class Batch:
    """One report: its events, and whose they are."""

    keys: list[Key] = field(default_factory=list)
    events: list[ReportEvent] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Upload:
    """Output that is too much for a report."""

    key: Key
    offset: int
    frames: bytes


@dataclass(frozen=True, slots=True)
class Reaction:
    """What an answer means: attempts whose end is recorded, orders, and whether it helped at all.

    `stuck` says that the server took the request and still lacks what was in it: asking again at
    once would do so for ever.
    """

    settled: tuple[Key, ...] = ()
    orders: tuple[tuple[Key, Directive], ...] = ()
    stuck: bool = False


class Outbox:
    """The unsaid facts of all attempts of a worker."""

    def __init__(self) -> None:
        self._lanes: dict[Key, _Lane] = {}
        # Insertion-ordered sets: whoever has waited longest is first.
        self._to_report: dict[Key, None] = {}
        self._to_upload: dict[Key, None] = {}

    def open(self, key: Key) -> None:
        """Begin an attempt."""
        self._lanes[key] = _Lane(key)

    def say(self, key: Key, event: Started | Ended | Released) -> None:
        """Add a fact. An attempt that was forgotten has none any more."""
        lane = self._lanes.get(key)
        if lane is None:
            return
        if isinstance(event, Started):
            lane.started = event
        else:
            lane.ended = event
        self._queue(lane)

    def write(self, key: Key, frames: bytes) -> bool:
        """Add output, and tell whether there is room for more; the log is read from its beginning.

        What the server has already is counted and not kept.
        """
        lane = self._lanes.get(key)
        if lane is None:
            return True
        known = max(0, min(len(frames), lane.base - lane.position))
        lane.position += len(frames)
        if known < len(frames):
            lane.pieces.append(frames[known:] if known else frames)
            self._queue(lane)
        return lane.pending < ROOM_BYTES

    def has_room(self, key: Key) -> bool:
        """Tell whether more output may be read."""
        lane = self._lanes.get(key)
        return lane is None or lane.pending < ROOM_BYTES

    def forget(self, key: Key) -> None:
        """Say nothing more of an attempt."""
        self._lanes.pop(key, None)
        self._to_report.pop(key, None)
        self._to_upload.pop(key, None)

    @property
    def reports(self) -> bool:
        """Tell whether there is anything to report now."""
        return bool(self._to_report)

    @property
    def uploads(self) -> bool:
        """Tell whether there is anything to upload now."""
        return bool(self._to_upload)

    def next_report(self) -> Batch:
        """Return all that can be reported now, within the limits of one request; it is under way.

        Nothing waits for more to come: while a request is under way, the next batch gathers.
        """
        batch = Batch()
        size = 0
        for key in list(self._to_report):
            lane = self._lanes[key]
            size += _cost(lane)
            full = len(batch.events) > REPORT_EVENTS - _EVENTS_OF_ONE or size > REPORT_BYTES
            if full and batch.keys:
                break
            batch.keys.append(key)
            batch.events.extend(self._depart(lane))
            del self._to_report[key]
        return batch

    def _depart(self, lane: _Lane) -> Iterator[ReportEvent]:
        flight = lane.flight = _Flight()
        if lane.started is not None:
            flight.started = True
            yield lane.started
        if lane.pending > OUTPUT_INLINE_BYTES:
            return
        if lane.pending:
            frames = b"".join(lane.pieces)
            lane.pieces = deque([frames])
            flight.until = lane.position
            job_id, number = lane.key
            yield Output(job_id=job_id, attempt=number, offset=lane.base, frames=frames)
        if lane.ended is not None:
            flight.ended = True
            yield lane.ended

    def next_upload(self) -> Upload | None:
        """Return the longest waiting output that is too much for a report; it is under way."""
        for key in self._to_upload:
            del self._to_upload[key]
            lane = self._lanes[key]
            frames = _gathered(lane.pieces)
            lane.flight = _Flight(until=lane.base + len(frames))
            return Upload(key, lane.base, frames)
        return None

    def acknowledge(self, keys: Iterable[Key], acks: Iterable[Ack]) -> Reaction:
        """Take the server's answer about the attempts that were under way together."""
        settled: list[Key] = []
        orders: list[tuple[Key, Directive]] = []
        stuck = False
        answers = {Key(ack.job_id, ack.attempt): ack for ack in acks}
        for key in keys:
            lane, ack = self._lanes.get(key), answers.get(key)
            if lane is None:
                continue
            if ack is None:
                stuck = True
                self._land(lane)
                continue
            if ack.directive is not None:
                orders.append((key, ack.directive))
            if ack.settled:
                settled.append(key)
                self.forget(key)
            else:
                nothing_new = self._arrive(lane, ack)
                stuck |= nothing_new and ack.directive is None
        return Reaction(tuple(settled), tuple(orders), stuck)

    def _arrive(self, lane: _Lane, ack: Ack) -> bool:
        """Drop what the server has; tell whether the answer changed nothing."""
        flight = lane.flight or _Flight()
        if flight.started:
            lane.started = None  # what was accepted is not said again
        before = lane.base
        self._advance(lane, ack.output_offset)
        self._land(lane)
        owed = flight.until > lane.base and lane.base <= before
        unsettled = flight.ended and not lane.pending
        return owed or unsettled

    def _advance(self, lane: _Lane, offset: int) -> None:
        if offset < lane.base:
            raise PeerBroken(
                f"the server has {offset} bytes of the output of {lane.key.job_id}, attempt "
                f"{lane.key.number}, and had acknowledged {lane.base}",
                hint="the worker begins anew and sends all of it again",
            )
        gone = min(offset, lane.position) - min(lane.base, lane.position)
        lane.base = offset
        while gone:
            piece = lane.pieces.popleft()
            if len(piece) > gone:
                lane.pieces.appendleft(piece[gone:])
            gone -= min(gone, len(piece))

    def land(self, keys: Iterable[Key]) -> None:
        """Note that a request was lost: what was in it is unsaid again."""
        for key in keys:
            if lane := self._lanes.get(key):
                self._land(lane)

    def _land(self, lane: _Lane) -> None:
        lane.flight = None
        self._queue(lane)

    def resume(self, key: Key, offset: int) -> None:
        """Go on in a new session, whose server has `offset` bytes of the output."""
        if lane := self._lanes.get(key):
            self._advance(lane, offset)
            self._queue(lane)

    def _queue(self, lane: _Lane) -> None:
        """Put an attempt where it belongs, unless something of it is under way."""
        if lane.flight is not None:
            return
        self._to_upload.pop(lane.key, None)
        if lane.started is None and lane.pending > OUTPUT_INLINE_BYTES:
            self._to_report.pop(lane.key, None)
            self._to_upload[lane.key] = None
        elif lane.started is not None or lane.ended is not None or lane.pending:
            self._to_report.setdefault(lane.key)


def _gathered(pieces: deque[bytes]) -> bytes:
    """Return the first pieces, as many as one request takes. A piece is shorter than that."""
    chosen: list[bytes] = []
    size = 0
    for piece in pieces:
        size += len(piece)
        if chosen and size > OUTPUT_POST_BYTES:
            break
        chosen.append(piece)
    return b"".join(chosen)


def _cost(lane: _Lane) -> int:
    """Return more bytes than what an attempt says takes as JSON."""
    inline = lane.pending if lane.pending <= OUTPUT_INLINE_BYTES else 0
    cost = _EVENTS_OF_ONE * _EVENT_BYTES + inline * 4 // 3
    if isinstance(lane.ended, Ended) and (lane.ended.result or lane.ended.message):
        cost += len(to_json(lane.ended.result)) + 6 * len(lane.ended.message or "")
    return cost
