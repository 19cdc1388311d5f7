"""Events as they are written, positions as they are read, and limits as they are kept."""

import json
from collections.abc import AsyncGenerator

import anyio
import pytest
from starlette.types import Message

from orchestrator.client.sse import EventReader
from orchestrator.kernel.errors import RequestInvalid, StoreBusy
from orchestrator.protocol import frames
from orchestrator.protocol.frames import FrameType
from orchestrator.server.edge.refusals import Declined
from orchestrator.server.live.output import Position, require_within, skipped_bytes, views
from orchestrator.server.live.sse import PING, RECONNECT, EventStream, StreamLimits, encode
from orchestrator.server.output_log import Chunk, OutputState, Part


def test_events_are_read_as_they_were_written() -> None:
    """What we encode is what a client of the standard reads, with comments in between."""
    told = json.dumps({"text": "a\nb\r\u2028\x00 data: id: 7"})
    reader = EventReader()

    (event,) = reader.events([RECONNECT, PING, encode("output", told, id="1.42"), PING])

    assert (event.name, event.data, event.id) == ("output", told, "1.42")
    assert reader.retry_s == 0.5


def test_an_event_without_id_keeps_the_reader_s_place() -> None:
    """States and ends do not move a reader: it resumes behind the last output."""
    reader = EventReader()

    list(reader.events([encode("output", "{}", id="1.42"), encode("state", b"{}")]))

    assert reader.last_id == "1.42"


def test_positions_are_read_and_written_alike() -> None:
    """A cursor is an attempt and an offset, and nothing else is one."""
    assert str(Position.parse("12.345")) == "12.345"
    for wrong in (
        "",
        "1",
        "1.",
        ".1",
        "1.2.3",
        "-1.2",
        "1.-2",
        "x.y",
        "1.2 ",
        "٣.١",
        "1." + "9" * 19,
    ):
        with pytest.raises(RequestInvalid) as refused:
            Position.parse(wrong)
        assert refused.value.problem_code == "cursor_invalid"


def test_a_position_behind_the_end_is_refused() -> None:
    """Nobody can stand where nothing was written yet."""
    output = OutputState("job", 1, 10)

    require_within(Position(1, 10), output)
    with pytest.raises(RequestInvalid):
        require_within(Position(1, 11), output)


def test_pieces_are_text_when_they_are_and_bytes_when_not() -> None:
    """Every piece carries its bytes exactly, in the one form that can hold them."""
    log = b"".join(
        frames.encode(kind, 1_000_000, data)
        for kind, data in (
            (FrameType.OUT, "ü".encode()),
            (FrameType.ERR, b"\xff"),
            (FrameType.NOTE, b""),
        )
    )

    shown = list(views(Chunk(100, log), 3))

    assert [(v.stream, v.text, v.base64) for v in shown] == [
        ("stdout", "ü", None),
        ("stderr", None, "/w=="),
        ("note", "", None),
    ]
    assert shown[-1].cursor == f"3.{100 + len(log)}"


def test_streams_are_counted_and_given_back() -> None:
    """Each principal has its own number of streams, all together have one, and both recover."""
    limits = StreamLimits(total=3, per_principal=2)
    with limits.stream("a"), limits.stream("a"):
        with pytest.raises(Declined, match="with this credential"), limits.stream("a"):
            pass
        with (
            limits.stream("b"),
            pytest.raises(Declined, match="on this server"),
            limits.stream("c"),
        ):
            pass
        with limits.stream("c"):
            pass
    with limits.stream("a"):
        pass


def test_a_gap_counts_what_this_reader_misses() -> None:
    """Who has read into what fell out later is told of the rest, exactly, or of no number."""
    parts = (Part(0, 100, 80), Part(300, 100, 70))
    output = OutputState(
        "job", 1, 400, parts=parts, gap_start=100, gap_end=300, dropped_bytes=150, closed=True
    )

    assert skipped_bytes(output, Position(1, 100)) == 150
    assert skipped_bytes(output, Position(1, 200), 80 + 75) == 75
    assert skipped_bytes(output, Position(1, 200)) is None


async def test_a_stream_without_its_database_is_ended_and_is_no_fault(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its head is sent, so it cannot be refused any more; its reader comes back."""

    async def pieces() -> AsyncGenerator[bytes, None]:
        yield b"data: 1\n\n"
        raise StoreBusy("the database cannot be reached")

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        await anyio.sleep_forever()
        raise AssertionError

    await EventStream(pieces(), StreamLimits(), "admin")({"type": "http"}, receive, send)

    bodies = [message["body"] for message in sent if message["type"] == "http.response.body"]
    assert bodies == [RECONNECT, b"data: 1\n\n", b""]
    assert not sent[-1].get("more_body", False)
    assert [record.message for record in caplog.records] == ["stream.broke_off"]
