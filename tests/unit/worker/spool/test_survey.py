"""What a segment holds, told from its frames."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.protocol.frames import FrameType, decode, encode
from worker.spool.segment import Piece, Survey


def frame(frame_type: FrameType, **record: Any) -> bytes:
    """Return a record's frame."""
    return encode(frame_type, 1, json.dumps(record).encode())


def grant(number: int, **more: Any) -> bytes:
    """Return the frame that an attempt begins with."""
    return frame(FrameType.GRANT, job=f"job_{number}", attempt=1, **more)


HEADER = frame(FrameType.HEADER, format=1)
PID = frame(FrameType.PID, pid=1)
OUT = encode(FrameType.OUT, 2, b"words")
EXIT = frame(FrameType.EXIT, cause="exited")


def survey(*frames: bytes, place: int = 0) -> Survey:
    """Return the survey of a segment with these frames."""
    it = Survey(place)
    it.add(decode(b"".join(frames)))
    return it


def test_an_empty_segment_holds_nothing() -> None:
    """A shim that was granted nothing is idle, and so is its segment."""
    it = survey(HEADER)

    assert (it.pieces, it.successor, it.at_work) == ([], None, False)
    assert it.place == len(HEADER)


def test_phases_follow_the_frames() -> None:
    """An attempt is granted, then running, then ended, as its frames say."""
    granted = survey(HEADER, grant(1))
    running = survey(HEADER, grant(1), PID, OUT)
    ended = survey(HEADER, grant(1), PID, OUT, EXIT)
    refused = survey(HEADER, grant(1), EXIT)

    assert [it.pieces[0].phase for it in (granted, running, ended, refused)] == [
        "granted",
        "running",
        "ended",
        "ended",
    ]
    assert [it.at_work for it in (granted, running, ended, refused)] == [True, True, False, False]


def test_places_are_those_of_the_file() -> None:
    """An attempt begins at its grant and ends after its exit, wherever the reading began."""
    whole = [HEADER, grant(1), PID, EXIT, grant(2), PID, OUT, EXIT]
    second = len(b"".join(whole[:4]))

    for it in (survey(*whole), survey(*whole[4:], place=second)):
        last = it.pieces[-1]
        assert last == Piece(("job_2", 1), second, 0, "ended", len(b"".join(whole)))


def test_a_segment_that_goes_on_elsewhere_has_nobody_at_work() -> None:
    """Its shim writes to the next one."""
    it = survey(HEADER, grant(1), PID, OUT, frame(FrameType.NEXT, segment="seg-x-1"))

    assert it.successor == "seg-x-1"
    assert not it.at_work


def test_a_part_knows_where_its_output_begins() -> None:
    """An attempt that came from another segment begins at an offset of its output."""
    it = survey(HEADER, grant(1, offset=8_000_000), PID, OUT)

    assert it.pieces == [Piece(("job_1", 1), len(HEADER), 8_000_000, "running", None)]


@given(st.lists(st.sampled_from([PID, OUT, EXIT]), max_size=6), st.data())
def test_reading_in_pieces_changes_nothing(tail: list[bytes], data: st.DataObject) -> None:
    """A segment that grows while it is looked at is seen as if it had been read at once."""
    whole = b"".join([HEADER, grant(1), *tail])
    cut = data.draw(st.integers(0, len(whole)))

    at_once = survey(whole)
    grown = Survey(0)
    grown.add(decode(whole[:cut]))
    grown.add(decode(whole[grown.place :]))

    assert grown == at_once
