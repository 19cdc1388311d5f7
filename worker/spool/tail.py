"""An attempt's records, read from its segments as far as they are written.

It waits for nothing and writes nothing: it is asked again when there may be more. One tail is one
reading, and begins with the first frame that is there, because the digest of the output is over all
of it.
"""

import dataclasses
import json
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from orchestrator.protocol.frames import (
    EMPTY_DIGEST,
    OUTPUT_TYPES,
    STREAM_NAMES,
    Frame,
    FrameType,
    chain,
)
from worker.records import Began, Cause, Exited, Log, Phase, Record, Wrote
from worker.spool.segment import Key, Process, Segment

_OUTPUT: Final = frozenset(int(kind) for kind in OUTPUT_TYPES)
_EMPTY: Final = Log(0, EMPTY_DIGEST)
_TOLD: Final = frozenset(field.name for field in dataclasses.fields(Exited)) - {"log"}
"""What of an exit record is passed on; what a newer shim says besides is its own worker's."""


class Place(NamedTuple):
    """Where an attempt begins in a segment, and what its output log is up to there.

    Of a place that nobody has reached in reading, no more than the length is known.
    """

    segment: Segment
    position: int
    log: Log = _EMPTY
    reached: bool = True


class Tail:
    """One reading of an attempt."""

    def __init__(
        self, key: Key, place: Place, follow: Callable[[str, Log], Segment | None]
    ) -> None:
        self._key = key
        self._follow = follow
        self.segment, self.position, log = place.segment, place.position, place.log
        self.source = self.segment
        """Where the records that are being yielded were read; it may have gone on since."""
        self._length, self._digest = log.length, log.digest
        self._own = dict.fromkeys(map(int, OUTPUT_TYPES), 0)
        """The bytes of each stream, kept or not: counted here, and told by whoever read them."""
        self.phase: Phase = "granted"
        self.granted = False
        """Whether the grant was found, so that the command may have been started."""
        self.process: Process | None = None
        self.cut = False
        """Whether what comes next is missing, so that its end is not known."""

    @property
    def log(self) -> Log:
        """Return the output log as far as it was read."""
        own = self._own
        return Log(self._length, self._digest, own[FrameType.OUT], own[FrameType.ERR])

    def read(self) -> Iterator[Record]:
        """Yield what has been written since the last time."""
        while self.phase != "ended" and not self.cut:
            view, frames = self.segment.read(self.position)
            if not frames:
                return
            yield from self._take(view, frames)

    def go_on_in(self, name: str) -> None:
        """Read on in the segment in which the shim went on: it will not write to this one again."""
        self.segment.closed = True
        segment = self._follow(name, self.log)
        self.cut = segment is None
        if segment is not None:
            self.segment, self.position = segment, 0

    def _take(self, view: memoryview, frames: list[Frame]) -> list[Record]:
        """Return what one read brought; all of it at once, as the buffer will be used again.

        Output frames that follow each other are one run, and passed on in one piece, as they are.
        """
        records: list[Record] = []
        base, segment = self.position, self.segment
        self.source = segment
        run_start, run_offset = -1, 0
        for frame in frames:
            start = frame.end - frame.size
            self.position = base + frame.end
            if frame.type in _OUTPUT:
                if run_start < 0:
                    run_start, run_offset = start, self._length
                if self._digest is not None:
                    self._digest = chain(self._digest, bytes(view[start : frame.end]))
                self._length += frame.size
                self._own[frame.type] += len(frame.data)
                continue
            if run_start >= 0:
                records.append(Wrote(run_offset, bytes(view[run_start:start])))
                run_start = -1
            if (record := self._note(frame)) is not None:
                records.append(record)
            if self.phase == "ended" or self.cut or self.segment is not segment:
                return records
        if run_start >= 0:
            records.append(Wrote(run_offset, bytes(view[run_start : frames[-1].end])))
        return records

    def _note(self, frame: Frame) -> Record | None:
        """Take in a frame that is not output."""
        if frame.type == FrameType.HEADER:
            return None
        record: dict[str, Any] = json.loads(frame.data)
        match frame.type:
            case FrameType.GRANT:
                self._granted(record)
            case FrameType.PID:
                return self._began(record)
            case FrameType.EXIT:
                self.phase = "ended"
                self._told(record)
                known = {name: it for name, it in record.items() if name in _TOLD}
                return Exited(**{**known, "cause": _cause(record["cause"]), "log": self.log})
            case FrameType.NEXT:
                self.go_on_in(record["segment"])
            case _:
                # A newer shim's, that says nothing without which the rest would be untrue: for such
                # a frame the format would be a higher one.
                pass
        return None

    def _granted(self, record: dict[str, Any]) -> None:
        """Take in the grant, with which each of its segments begins.

        If it is another attempt's, a power cut took the end of the segment before this one. If it
        begins further on, the last frames before it were taken: the hole is shown by its offset,
        and never closed over, and nobody knows the digest of what was in it.
        """
        if (record["job"], record["attempt"]) != self._key:
            self.cut = True
            return
        self.granted = True
        offset = record.get("offset", 0)
        if offset > self._length:
            self._length, self._digest = offset, None
        self._told(record)

    def _told(self, record: dict[str, Any]) -> None:
        """Believe the shim's own counts: they hold what is in no segment, or in none that is left.

        The first grant of an attempt has none.
        """
        for kind in (FrameType.OUT, FrameType.ERR):
            self._own[kind] = max(self._own[kind], record.pop(STREAM_NAMES[kind], 0))

    def _began(self, record: dict[str, Any]) -> Began | None:
        """Return that it began, once: each of its segments repeats it."""
        known, self.phase = self.process, "running"
        at_us = record.pop("at_us")
        self.process = Process(*(record[name] for name in Process._fields))
        return None if known else Began(self.process.pid, at_us)


def _cause(word: str) -> Cause:
    """Return why it ended; for a newer shim's word we have only what its code and message say."""
    return next((cause for cause in Cause if cause == word), Cause.EXITED)
