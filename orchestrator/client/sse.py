"""Server-sent events: bytes in, events out, and the id to go on from.

It opens no connection and knows no event by name. One reader outlives many connections: it keeps
the id of the last event that it gave out, which is all that a new connection needs to continue
without a gap or a repeat. The rules are those of the HTML standard, section 9.2.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from orchestrator.kernel.errors import PeerBroken

EVENT_BYTES: Final = 8 * 1024 * 1024
"""Sixteen times the largest piece of output with every byte escaped."""
_LINE_END: Final = re.compile(rb"\r\n|\n|\r")
_BOM: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One event. `id` is the last id that the stream named, in this event or before it."""

    name: str
    data: str
    id: str


class EventReader:
    """Reads one stream over as many connections as it takes."""

    def __init__(self, last_id: str = "") -> None:
        self.last_id = last_id
        self.retry_s = 0.0
        """How long the server asks us to wait before we connect again."""

    def headers(self) -> dict[str, str]:
        """Return what the next connection sends to go on from here."""
        resume = {"Last-Event-ID": self.last_id} if self.last_id else {}
        return {"Accept": "text/event-stream", "Cache-Control": "no-store", **resume}

    def events(self, pieces: Iterable[bytes]) -> Iterator[ServerSentEvent]:
        """Yield the whole events of one connection; one that was cut short is not an event."""
        data: list[str] = []
        name, seen_id, size = "", self.last_id, 0
        for line in _lines(pieces):
            if not line:
                self.last_id = seen_id
                if data:
                    yield ServerSentEvent(name or "message", "\n".join(data), seen_id)
                name, data, size = "", [], 0
                continue
            size += len(line)
            _check_size(size)
            field, _, raw = line.partition(b":")
            value = raw.removeprefix(b" ").decode("utf-8", "replace")
            match field:
                case b"event":
                    name = value
                case b"data":
                    data.append(value)
                case b"id" if "\0" not in value:
                    seen_id = value
                case b"retry" if value.isascii() and value.isdigit():
                    self.retry_s = int(value[:9]) / 1000
                case _:
                    pass  # a comment (which keeps the connection alive), or a field of the future


def _lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield whole lines, ended by LF, CR or CRLF, even where a CRLF is cut in two."""
    rest, first, after_cr = b"", True, False
    for piece in pieces:
        if not piece:
            continue
        fresh = piece[1:] if after_cr and piece.startswith(b"\n") else piece
        after_cr = piece.endswith(b"\r")
        *lines, rest = _LINE_END.split(rest + fresh)
        _check_size(len(rest))
        for line in lines:
            yield line.removeprefix(_BOM) if first else line
            first = False


def _check_size(size: int) -> None:
    if size > EVENT_BYTES:
        raise PeerBroken(f"the server sent an event longer than {EVENT_BYTES} bytes")
