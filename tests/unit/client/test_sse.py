"""Server-sent events: every way to write them, and where to go on."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.client.sse import EVENT_BYTES, EventReader, ServerSentEvent
from orchestrator.kernel.errors import PeerBroken


def _read(*pieces: bytes) -> list[tuple[str, str, str]]:
    return [(event.name, event.data, event.id) for event in EventReader().events(pieces)]


@pytest.mark.parametrize(
    ("text", "events"),
    [
        (b"data: x\n\n", [("message", "x", "")]),
        (b"data:x\n\n", [("message", "x", "")]),
        (b"data:  x\n\n", [("message", " x", "")]),
        (b"event: output\nid: 1.5\ndata: x\n\n", [("output", "x", "1.5")]),
        (b"data: x\ndata: y\n\n", [("message", "x\ny", "")]),
        (b"data\n\n", [("message", "", "")]),
        (b": ping\n\n", []),
        (b"event: empty\n\n", []),
        (b"event: a\n\ndata: x\n\n", [("message", "x", "")]),
        (b"id: 1\ndata: a\n\ndata: b\n\n", [("message", "a", "1"), ("message", "b", "1")]),
        (b"id: 1\ndata: a\n\nid\ndata: b\n\n", [("message", "a", "1"), ("message", "b", "")]),
        (b"id: a\0b\ndata: x\n\n", [("message", "x", "")]),
        (b"data: x\r\n\r\n", [("message", "x", "")]),
        (b"data: x\r\r", [("message", "x", "")]),
        (b"\xef\xbb\xbfdata: x\n\n", [("message", "x", "")]),
        (b"future: x\ndata: y\n\n", [("message", "y", "")]),
        (b"data: cut short\n", []),
        (b"data: \xff\n\n", [("message", "\ufffd", "")]),
    ],
)
def test_events_are_read_as_the_standard_says(
    text: bytes, events: list[tuple[str, str, str]]
) -> None:
    """Each form of line, field and ending gives exactly the events of the standard."""
    assert _read(text) == events


STREAM = (
    b"id: 1\r\nevent: output\r\ndata: {}\r\n\r\nid: 2\ndata: b\ndata: c\n\n: ping\n\rdata: d\r\r"
)


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_it_does_not_matter_where_the_network_cuts(cuts: list[int]) -> None:
    """The same bytes in any pieces are the same events."""
    bounds = [0, *sorted(cuts), len(STREAM)]
    pieces = [STREAM[start:end] for start, end in pairwise(bounds)]

    assert _read(*pieces) == _read(STREAM)


def test_a_new_connection_goes_on_behind_the_last_whole_event() -> None:
    """The id of an event that was cut short is not the place to go on from."""
    reader = EventReader()

    seen = list(reader.events([b"id: 1\ndata: a\n\nid: 2\ndata: b\n"]))

    assert seen == [ServerSentEvent("message", "a", "1")]
    assert reader.headers()["Last-Event-ID"] == "1"
    assert "Last-Event-ID" not in EventReader().headers()


def test_the_server_says_when_to_come_back() -> None:
    """A `retry` of digits is kept in seconds, anything else is not."""
    reader = EventReader()

    list(reader.events([b"retry: 500\n\nretry: soon\n\n"]))

    assert reader.retry_s == 0.5


@pytest.mark.parametrize("line", [b"data: " + b"x" * 1024, b"x" * 1024])
def test_an_endless_event_is_refused(line: bytes) -> None:
    """What never ends is given up before it fills the memory."""
    endless = line * (EVENT_BYTES // 1024) + b"\n"

    with pytest.raises(PeerBroken, match="longer"):
        _read(*[endless] * 2, b"\n")
