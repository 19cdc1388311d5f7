"""The outbox at its limits: large batches, full rooms, and every way to lose a request."""

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.protocol.limits import REPORT_BYTES, REPORT_EVENTS
from orchestrator.protocol.wire import Ended, Output, ReportRequest
from tests.unit.worker.logic.facts import SESSION, Box, ack, ended, frames_of, key_of, started
from worker.logic.attempt import Key
from worker.logic.lane import ROOM_BYTES


def test_an_upload_is_cut_at_the_limit_of_a_request() -> None:
    """Several pieces go together, as many as one request takes."""
    outbox, key, frames = Box(), key_of(), frames_of(1024 * 1024)
    outbox.open(key)
    for _ in range(5):
        outbox.add(key, frames)

    upload = outbox.next_upload()

    assert upload is not None
    assert len(upload.frames) == 3 * len(frames)
    outbox.acknowledge([key], [ack(key, len(upload.frames))])
    rest = outbox.next_upload()
    assert rest is not None
    assert (rest.offset, len(rest.frames)) == (3 * len(frames), 2 * len(frames))


def test_reading_stops_when_the_server_is_away() -> None:
    """Unacknowledged output in memory is bounded; the log keeps the rest."""
    outbox, key = Box(), key_of()
    outbox.open(key)
    pieces = 0
    while outbox.add(key, frames_of(60_000)):
        pieces += 1

    assert pieces * 60_000 < ROOM_BYTES
    assert not outbox.has_room(key)
    upload = outbox.next_upload()
    assert upload is not None
    outbox.acknowledge([key], [ack(key, len(upload.frames))])
    assert outbox.has_room(key)


def test_a_report_keeps_the_limits_of_a_request() -> None:
    """Neither the number of events nor the bytes of the body go over what the server takes."""
    outbox = Box()
    for number in range(1200):
        key = key_of(number)
        outbox.open(key)
        outbox.say(key, started(key))
        outbox.add(key, frames_of(2000 if number < 600 else 10))
        outbox.say(key, ended(key, 2017, message="\u0001" * (4096 if number % 100 == 0 else 0)))
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
    outbox = Box()
    for number in range(6):
        key = key_of(number)
        outbox.open(key)
        outbox.say(key, ended(key, result={"text": "x" * 250_000}))

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
    outbox, key, log = Box(), key_of(), b""
    received = bytearray()
    end: Ended | None = None
    outbox.open(key)
    for size in sizes:
        frames = frames_of(size)
        log += frames
        outbox.add(key, frames)
        if chances and chances[-1] == "lost":
            _exchange(outbox, key, received, chances)
    outbox.say(key, ended(key, len(log)))
    while end is None:
        end = _exchange(outbox, key, received, chances)

    assert bytes(received) == log
    assert end.output_length == len(log)


def _exchange(outbox: Box, key: Key, received: bytearray, chances: list[str]) -> Ended | None:
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
        outbox.acknowledge([key], [ack(key, len(received), settled=end is not None)])
        return end
    outbox.land([key])
    return None
