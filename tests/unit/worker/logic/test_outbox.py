"""What the server does not have yet: nothing lost, nothing reordered, nothing said for ever."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.kernel.errors import PeerBroken
from orchestrator.protocol.frames import FrameType, encode
from orchestrator.protocol.limits import OUTPUT_INLINE_BYTES, REPORT_BYTES, REPORT_EVENTS
from orchestrator.protocol.wire import (
    Ack,
    Ended,
    Output,
    Released,
    ReportEvent,
    ReportRequest,
    Started,
)
from orchestrator.protocol.words import Directive, Outcome
from worker.logic.attempt import Key
from worker.logic.lane import ROOM_BYTES
from worker.logic.outbox import Outbox, Reaction

SESSION = "session_" + "0" * 26


def _key(number: int = 1) -> Key:
    return Key(f"job_{number:026}", 1)


def _started(key: Key) -> Started:
    return Started(job_id=key.job_id, attempt=key.number, at_us=1, pid=2)


def _ended(key: Key, length: int = 0, **fields: object) -> Ended:
    return Ended.model_validate(
        {
            "job_id": key.job_id,
            "attempt": key.number,
            "at_us": 3,
            "outcome": Outcome.SUCCEEDED,
            "output_length": length,
            **fields,
        }
    )


def _frames(size: int) -> bytes:
    return encode(FrameType.OUT, 1, b"x" * size)


def _ack(key: Key, offset: int = 0, **fields: object) -> Ack:
    return Ack.model_validate(
        {"job_id": key.job_id, "attempt": key.number, "output_offset": offset, **fields}
    )


class _Box(Outbox):
    """An outbox that is given the log piece by piece, from its beginning."""

    def __init__(self) -> None:
        super().__init__()
        self._ends: dict[Key, int] = {}

    def add(self, key: Key, frames: bytes) -> bool:
        offset = self._ends.get(key, 0)
        self._ends[key] = offset + len(frames)
        return self.write(key, offset, frames)


def _types(events: Iterable[ReportEvent]) -> list[str]:
    return [event.type for event in events]


def test_a_short_job_is_one_report() -> None:
    """What gathers while nobody asks goes together: start, output and end, in this order."""
    outbox, key, frames = _Box(), _key(), _frames(5)
    outbox.open(key)

    outbox.say(key, _started(key))
    outbox.add(key, frames)
    outbox.say(key, _ended(key, len(frames)))
    batch = outbox.next_report()

    assert _types(batch.events) == ["started", "output", "ended"]
    assert batch.keys == [key]
    assert not outbox.has_reports
    assert outbox.acknowledge([key], [_ack(key, settled=True)]) == Reaction(settled=(key,))
    assert not outbox.has_reports


def test_nothing_overtakes_what_is_under_way() -> None:
    """While a request of an attempt is under way, the next facts wait, and then follow."""
    outbox, key = _Box(), _key()
    outbox.open(key)
    outbox.say(key, _started(key))
    outbox.next_report()

    outbox.add(key, _frames(5))

    assert not outbox.has_reports
    outbox.acknowledge([key], [_ack(key)])
    assert _types(outbox.next_report().events) == ["output"]


def test_a_lost_report_is_made_again() -> None:
    """What was in a request without an answer is said again, with what came since."""
    outbox, key = _Box(), _key()
    outbox.open(key)
    outbox.say(key, _started(key))
    lost = outbox.next_report()
    outbox.add(key, _frames(5))

    outbox.land(lost.keys)

    assert _types(outbox.next_report().events) == ["started", "output"]


def test_output_goes_on_where_the_server_stands() -> None:
    """The offset of each piece is what the server acknowledged before."""
    outbox, key = _Box(), _key()
    outbox.open(key)
    offsets = []
    for _ in range(3):
        outbox.add(key, _frames(10))
        [event] = outbox.next_report().events
        assert isinstance(event, Output)
        offsets.append(event.offset)
        outbox.acknowledge([key], [_ack(key, event.offset + len(event.frames))])

    assert offsets == [0, 27, 54]


def test_much_output_is_uploaded_and_the_end_waits_for_it() -> None:
    """Output over the limit goes as raw bytes after the start; the end follows the last of it."""
    outbox, key, frames = _Box(), _key(), _frames(OUTPUT_INLINE_BYTES)
    outbox.open(key)
    outbox.say(key, _started(key))
    outbox.add(key, frames)
    outbox.say(key, _ended(key, len(frames)))

    assert not outbox.has_uploads
    assert _types(outbox.next_report().events) == ["started"]
    outbox.acknowledge([key], [_ack(key)])
    assert not outbox.has_reports
    upload = outbox.next_upload()
    assert upload is not None
    assert (upload.offset, upload.frames) == (0, frames)
    assert outbox.next_upload() is None
    assert not outbox.has_reports
    outbox.acknowledge([key], [_ack(key, len(frames))])
    assert _types(outbox.next_report().events) == ["ended"]


def test_an_upload_is_cut_at_the_limit_of_a_request() -> None:
    """Several pieces go together, as many as one request takes."""
    outbox, key, frames = _Box(), _key(), _frames(1024 * 1024)
    outbox.open(key)
    for _ in range(5):
        outbox.add(key, frames)

    upload = outbox.next_upload()

    assert upload is not None
    assert len(upload.frames) == 3 * len(frames)
    outbox.acknowledge([key], [_ack(key, len(upload.frames))])
    rest = outbox.next_upload()
    assert rest is not None
    assert (rest.offset, len(rest.frames)) == (3 * len(frames), 2 * len(frames))


def test_reading_stops_when_the_server_is_away() -> None:
    """Unacknowledged output in memory is bounded; the log keeps the rest."""
    outbox, key = _Box(), _key()
    outbox.open(key)
    pieces = 0
    while outbox.add(key, _frames(60_000)):
        pieces += 1

    assert pieces * 60_000 < ROOM_BYTES
    assert not outbox.has_room(key)
    upload = outbox.next_upload()
    assert upload is not None
    outbox.acknowledge([key], [_ack(key, len(upload.frames))])
    assert outbox.has_room(key)


def test_what_the_server_has_already_is_not_sent_again() -> None:
    """A log that is read from its beginning after a restart continues at the server's offset."""
    outbox, key, frames = _Box(), _key(), _frames(10)
    outbox.open(key)
    outbox.resume(key, len(frames) + 2 * len(frames))

    for _ in range(2):
        outbox.add(key, frames)
    assert not outbox.has_reports
    outbox.add(key, frames + frames)

    [event] = outbox.next_report().events
    assert isinstance(event, Output)
    assert (event.offset, event.frames) == (3 * len(frames), frames)


def test_an_answer_that_was_lost_is_learned_from_the_next() -> None:
    """When the server has more than was acknowledged, only the rest is sent."""
    outbox, key, frames = _Box(), _key(), _frames(10)
    outbox.open(key)
    outbox.add(key, frames)
    outbox.land(outbox.next_report().keys)
    outbox.add(key, frames)
    [event] = outbox.next_report().events
    assert isinstance(event, Output)
    assert len(event.frames) == 2 * len(frames)

    reaction = outbox.acknowledge([key], [_ack(key, len(frames))])

    assert not reaction.stuck
    [rest] = outbox.next_report().events
    assert isinstance(rest, Output)
    assert (rest.offset, rest.frames) == (len(frames), frames)


def test_a_server_that_lost_what_it_acknowledged_is_noticed() -> None:
    """Less than before cannot be mended from memory: the worker begins anew."""
    outbox, key = _Box(), _key()
    outbox.open(key)
    outbox.add(key, _frames(10))
    outbox.next_report()
    outbox.acknowledge([key], [_ack(key, 27)])

    with pytest.raises(PeerBroken, match="had acknowledged 27"):
        outbox.resume(key, 5)


def test_an_order_to_abandon_is_handed_on() -> None:
    """It comes along with an acknowledgement that says nothing else; nothing more is said."""
    outbox, key = _Box(), _key()
    outbox.open(key)
    outbox.add(key, _frames(10))
    outbox.next_report()
    outbox.acknowledge([key], [_ack(key, 27)])
    outbox.say(key, _ended(key, 27))
    outbox.next_report()

    reaction = outbox.acknowledge([key], [_ack(key, 0, directive="abandon")])

    assert reaction == Reaction(orders=((key, Directive.ABANDON),))
    assert not outbox.has_reports


def test_an_order_to_cancel_is_handed_on() -> None:
    """It changes nothing about what is still to be said."""
    outbox, key = _Box(), _key()
    outbox.open(key)
    outbox.say(key, _started(key))
    outbox.next_report()
    outbox.add(key, _frames(10))

    reaction = outbox.acknowledge([key], [_ack(key, directive="cancel")])

    assert reaction.orders == ((key, Directive.CANCEL),)
    assert outbox.has_reports


def test_an_answer_that_changes_nothing_is_a_reason_to_wait() -> None:
    """A server that takes an end and does not record it is not asked again at once."""
    outbox, key = _Box(), _key()
    outbox.open(key)
    outbox.say(key, _ended(key))
    outbox.next_report()

    assert outbox.acknowledge([key], [_ack(key)]).stuck
    assert _types(outbox.next_report().events) == ["ended"]
    assert outbox.acknowledge([key], []).stuck
    assert outbox.has_reports


def test_output_that_is_not_taken_is_a_reason_to_wait() -> None:
    """The same for output whose offset does not move."""
    outbox, key = _Box(), _key()
    outbox.open(key)
    outbox.add(key, _frames(OUTPUT_INLINE_BYTES))
    outbox.next_upload()

    assert outbox.acknowledge([key], [_ack(key)]).stuck
    assert outbox.has_uploads


def test_a_log_whose_beginning_is_gone_goes_on_where_it_is() -> None:
    """Parts that the server had acknowledged may be removed; reading again begins behind them."""
    outbox, key, frames = _Box(), _key(), _frames(10)
    outbox.open(key)
    outbox.resume(key, 3 * len(frames))

    outbox.write(key, 2 * len(frames), frames + frames)

    [event] = outbox.next_report().events
    assert isinstance(event, Output)
    assert (event.offset, event.frames) == (3 * len(frames), frames)


def test_output_that_is_nowhere_any_more_is_shown_as_missing() -> None:
    """A server that was set back lacks what the worker has removed: the end says so, once."""
    outbox, key, frames = _Box(), _key(), _frames(10)
    outbox.open(key)
    outbox.resume(key, 5)

    outbox.write(key, 3 * len(frames), frames)
    outbox.write(key, 4 * len(frames), frames)
    outbox.say(key, _ended(key, 5 * len(frames)))

    [event] = outbox.next_report().events
    assert isinstance(event, Ended)
    assert event.output_final


def test_what_the_server_has_taken_is_told() -> None:
    """How far the server is lets the worker remove the parts before it."""
    outbox, key = _Box(), _key()
    outbox.open(key)
    outbox.add(key, _frames(10))
    outbox.next_report()

    assert outbox.acknowledge([key], [_ack(key, 27)]).taken == ((key, 27),)


def test_nothing_is_said_of_what_was_forgotten() -> None:
    """An abandoned attempt is silent, whatever its process still does."""
    outbox, key = _Box(), _key()
    outbox.open(key)
    outbox.say(key, _started(key))
    outbox.forget(key)

    outbox.say(key, _ended(key))

    assert outbox.add(key, _frames(5 * 1024 * 1024 // 2))
    assert outbox.has_room(key)
    assert not outbox.has_reports
    assert not outbox.has_uploads
    assert outbox.acknowledge([key], [_ack(key)]) == Reaction()


def test_a_release_is_an_end() -> None:
    """What was given back is settled like anything else."""
    outbox, key = _Box(), _key()
    outbox.open(key)
    outbox.say(key, Released(job_id=key.job_id, attempt=key.number))

    assert _types(outbox.next_report().events) == ["released"]
    assert outbox.acknowledge([key], [_ack(key, settled=True)]).settled == (key,)


def test_a_report_keeps_the_limits_of_a_request() -> None:
    """Neither the number of events nor the bytes of the body go over what the server takes."""
    outbox = _Box()
    for number in range(1200):
        key = _key(number)
        outbox.open(key)
        outbox.say(key, _started(key))
        outbox.add(key, _frames(2000 if number < 600 else 10))
        outbox.say(key, _ended(key, 2017, message="\u0001" * (4096 if number % 100 == 0 else 0)))
    seen: set[Key] = set()
    while outbox.has_reports:
        batch = outbox.next_report()
        body = ReportRequest(session_id=SESSION, events=batch.events).model_dump_json()
        assert len(body) <= REPORT_BYTES
        assert len(batch.events) <= REPORT_EVENTS
        seen |= set(batch.keys)

    assert len(seen) == 1200


def test_one_large_result_still_fits() -> None:
    """An attempt that is large alone goes alone."""
    outbox = _Box()
    for number in range(6):
        key = _key(number)
        outbox.open(key)
        outbox.say(key, _ended(key, result={"text": "x" * 250_000}))

    sizes = []
    while outbox.has_reports:
        sizes.append(len(outbox.next_report().keys))

    assert sizes == [4, 2]


@given(
    sizes=st.lists(st.integers(0, 6000), max_size=30),
    chances=st.lists(st.sampled_from(["ok", "lost", "answer lost"]), max_size=60),
)
def test_whatever_is_lost_the_server_ends_up_with_the_whole_log(
    sizes: list[int], chances: list[str]
) -> None:
    """Through any loss of requests and answers the log arrives once, in order, before its end."""
    outbox, key, log = _Box(), _key(), b""
    received = bytearray()
    end: Ended | None = None
    outbox.open(key)
    for size in sizes:
        frames = _frames(size)
        log += frames
        outbox.add(key, frames)
        if chances and chances[-1] == "lost":
            _exchange(outbox, key, received, chances)
    outbox.say(key, _ended(key, len(log)))
    while end is None:
        end = _exchange(outbox, key, received, chances)

    assert bytes(received) == log
    assert end.output_length == len(log)


def _exchange(outbox: _Box, key: Key, received: bytearray, chances: list[str]) -> Ended | None:
    """Send once; return the end when the server has it and the worker knows."""
    chance = chances.pop() if chances else "ok"
    upload, end = outbox.next_upload(), None
    events = outbox.next_report().events if upload is None else []
    pieces = [(e.offset, e.frames) for e in events if isinstance(e, Output)]
    if upload is not None:
        pieces.append((upload.offset, upload.frames))
    if chance != "lost":
        for offset, frames in pieces:
            assert offset <= len(received), "a hole"
            received[offset:] = frames
        end = next((e for e in events if isinstance(e, Ended)), None)
        if end is not None:
            assert len(received) == end.output_length
    if chance == "ok":
        outbox.acknowledge([key], [_ack(key, len(received), settled=end is not None)])
        return end
    outbox.land([key])
    return None
