"""What the server does not have yet: the facts of all attempts, handed out in batches.

It knows no connection: it says what to send, and is told what came of it. For each attempt at most
one request is under way, so nothing can overtake anything; what was sent stays until it is
acknowledged, so a lost request is simply made again. Nothing waits for more to come: while one
request is under way, the next batch gathers.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from orchestrator.protocol.limits import REPORT_BYTES, REPORT_EVENTS
from orchestrator.protocol.wire import Ack, Ended, Progress, Released, ReportEvent, Started
from orchestrator.protocol.words import Directive
from worker.logic.attempt import Key
from worker.logic.lane import EVENTS_MAX, Lane, Standing, Upload, Way


@dataclass(frozen=True, slots=True)
class Batch:
    """One report: its events, and whose they are."""

    keys: list[Key] = field(default_factory=list)
    events: list[ReportEvent] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Reaction:
    """What an answer means: recorded starts and ends, how much output, orders, and any progress.

    `stuck` says that the server took the request and still lacks what was in it: asking again at
    once would do so for ever.
    """

    recorded: tuple[Key, ...] = ()
    settled: tuple[Key, ...] = ()
    taken: tuple[tuple[Key, int], ...] = ()
    orders: tuple[tuple[Key, Directive], ...] = ()
    stuck: bool = False


class Outbox:
    """The unsaid facts of all attempts of a worker."""

    def __init__(self) -> None:
        self._lanes: dict[Key, Lane] = {}
        # Insertion-ordered sets: whoever has waited longest is first.
        self._to_report: dict[Key, None] = {}
        self._to_upload: dict[Key, None] = {}

    def open(self, key: Key) -> None:
        """Begin an attempt."""
        self._lanes[key] = Lane(key)

    def say(self, key: Key, event: Started | Progress | Ended | Released) -> None:
        """Add a fact. An attempt that was forgotten has none any more."""
        if lane := self._lanes.get(key):
            lane.say(event)
            self._queue(lane)

    def write(self, key: Key, offset: int, frames: bytes) -> bool:
        """Add what follows in an attempt's log, and tell whether there is room for more.

        A log that is read again is read from the first place that is still there.
        """
        lane = self._lanes.get(key)
        if lane is None:
            return True
        lane.write(offset, frames)
        self._queue(lane)
        return lane.has_room

    def has_room(self, key: Key) -> bool:
        """Tell whether more output of an attempt may be read."""
        lane = self._lanes.get(key)
        return lane is None or lane.has_room

    def forget(self, key: Key) -> None:
        """Say nothing more of an attempt."""
        self._lanes.pop(key, None)
        self._to_report.pop(key, None)
        self._to_upload.pop(key, None)

    @property
    def has_reports(self) -> bool:
        """Tell whether there is anything to report now."""
        return bool(self._to_report)

    @property
    def has_uploads(self) -> bool:
        """Tell whether there is anything to upload now."""
        return bool(self._to_upload)

    def next_report(self) -> Batch:
        """Return all that can be reported now, as one request takes; it is under way."""
        batch = Batch()
        size = 0
        for key in list(self._to_report):
            lane = self._lanes[key]
            size += lane.cost()
            full = len(batch.events) > REPORT_EVENTS - EVENTS_MAX or size > REPORT_BYTES
            if batch.keys and (full or lane.alone):
                break
            batch.keys.append(key)
            batch.events.extend(lane.report())
            del self._to_report[key]
            if lane.alone:
                break
        return batch

    def next_upload(self) -> Upload | None:
        """Return the longest waiting output that is too much for a report; it is under way."""
        for key in self._to_upload:
            del self._to_upload[key]
            return self._lanes[key].upload()
        return None

    def acknowledge(self, keys: Iterable[Key], acks: Iterable[Ack]) -> Reaction:
        """Take the server's answer about the attempts that were under way together."""
        recorded: list[Key] = []
        settled: list[Key] = []
        taken: list[tuple[Key, int]] = []
        orders: list[tuple[Key, Directive]] = []
        stuck = False
        answers = {(ack.job_id, ack.attempt): ack for ack in acks}
        for key in keys:
            lane, ack = self._lanes.get(key), answers.get(key)
            if lane is None:
                continue
            if ack is None:
                stuck = True
                self.land([key])
                continue
            if ack.directive is not None:
                orders.append((key, ack.directive))
            if ack.settled or ack.directive is Directive.ABANDON:
                # What else the answer says of an attempt that is not ours need not be true.
                settled += [key] * ack.settled
                self.forget(key)
                continue
            recorded += [key] * ack.started
            stuck |= lane.arrive(ack)
            taken.append((key, lane.base))
            self._queue(lane)
        return Reaction(tuple(recorded), tuple(settled), tuple(taken), tuple(orders), stuck)

    def land(self, keys: Iterable[Key]) -> None:
        """Note that a request was lost: what was in it is unsaid again."""
        for key in keys:
            if lane := self._lanes.get(key):
                lane.flight = None
                self._queue(lane)

    def refuse(self, keys: Collection[Key]) -> Standing:
        """Note that the server did not understand a request with these; return how they stand now.

        One that was in it with others may be innocent: each is said again by itself.
        """
        standing = Standing.GOOD
        for key in keys:
            if lane := self._lanes.get(key):
                lane.refuse(alone=len(keys) == 1)
                self._queue(lane)
                standing = min(standing, lane.standing)
        return standing

    def is_silent(self, key: Key) -> bool:
        """Tell whether nothing more is said of an attempt, because nothing was understood."""
        lane = self._lanes.get(key)
        return lane is not None and lane.standing is Standing.SILENT

    def resume(self, key: Key, offset: int) -> None:
        """Go on in a new session, whose server has `offset` bytes of the output."""
        if lane := self._lanes.get(key):
            lane.resume(offset)
            self._queue(lane)

    def _queue(self, lane: Lane) -> None:
        """Put an attempt where it belongs."""
        way = lane.way
        if way is not Way.REPORT:
            self._to_report.pop(lane.key, None)
        if way is not Way.UPLOAD:
            self._to_upload.pop(lane.key, None)
        if way is Way.REPORT:
            self._to_report.setdefault(lane.key)
        elif way is Way.UPLOAD:
            self._to_upload.setdefault(lane.key)
