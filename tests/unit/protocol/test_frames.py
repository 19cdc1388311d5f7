"""Frames: what is written is read back, and damage ends what can be read."""

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.protocol.frames import (
    EMPTY_DIGEST,
    HEAD_BYTES,
    FrameType,
    chain,
    decode,
    encode,
)

PIECES = st.lists(
    st.tuples(st.sampled_from(FrameType), st.integers(0, 2**62), st.binary(max_size=200)),
    max_size=8,
)


def _log(pieces: list[tuple[FrameType, int, bytes]]) -> bytes:
    return b"".join(encode(*piece) for piece in pieces)


@given(PIECES)
def test_frames_are_read_back_as_they_were_written(
    pieces: list[tuple[FrameType, int, bytes]],
) -> None:
    """Type, time and every byte survive, whatever the bytes are."""
    frames = list(decode(_log(pieces)))

    assert [(frame.type, frame.time_us, frame.data) for frame in frames] == pieces


@given(PIECES, st.data())
def test_a_torn_log_ends_at_its_last_whole_frame(
    pieces: list[tuple[FrameType, int, bytes]], data: st.DataObject
) -> None:
    """Whatever the cut, exactly the frames before it are read."""
    log = _log(pieces)
    cut = data.draw(st.integers(0, len(log)))

    frames = list(decode(log[:cut]))

    ends = [frame.end for frame in decode(log)]
    assert [frame.end for frame in frames] == [end for end in ends if end <= cut]


@given(st.binary(min_size=1, max_size=50), st.data())
def test_a_flipped_bit_ends_the_log_there(payload: bytes, data: st.DataObject) -> None:
    """No single flipped bit of a frame is ever taken for the frame that was written."""
    first, second = encode(FrameType.OUT, 1, b"before"), encode(FrameType.OUT, 2, payload)
    bit = data.draw(st.integers(0, len(second) * 8 - 1))
    damaged = bytearray(second)
    damaged[bit // 8] ^= 1 << bit % 8

    frames = list(decode(first + bytes(damaged)))

    assert [frame.data for frame in frames] == [b"before"]


def test_a_reader_goes_on_where_it_stopped() -> None:
    """A log that grew is read on from the end of the last frame."""
    first, second = encode(FrameType.OUT, 1, b"a"), encode(FrameType.ERR, 2, b"b")
    [frame] = decode(first + second[:3])

    rest = list(decode(first + second, frame.end))

    assert [frame.data for frame in rest] == [b"b"]
    assert rest[0].size == HEAD_BYTES + 1


def test_the_digest_depends_on_order_and_time() -> None:
    """Two logs with the same bytes in another order have different digests."""
    one, two = encode(FrameType.OUT, 1, b"a"), encode(FrameType.OUT, 2, b"a")

    assert chain(chain(EMPTY_DIGEST, one), two) != chain(chain(EMPTY_DIGEST, two), one)
