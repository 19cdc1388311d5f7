"""How an output log grows: pure arithmetic over frames."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.kernel.errors import RequestInvalid
from orchestrator.protocol.frames import HEAD_BYTES, FrameType, decode, encode
from orchestrator.protocol.limits import (
    FRAME_DATA_BYTES,
    MIB,
    OUTPUT_CAP_BYTES,
    OUTPUT_FRAMES_FACTOR,
    OUTPUT_HEAD_BYTES,
    OUTPUT_INLINE_BYTES,
    OUTPUT_PART_BYTES,
)
from orchestrator.server.operations.output_plan import Growth, OutputLog, grown
from orchestrator.server.output_log import Part

KINDS = st.sampled_from([FrameType.OUT, FrameType.ERR, FrameType.NOTE])
PRINTED = st.lists(st.tuples(KINDS, st.binary(max_size=5000)), min_size=1, max_size=12)


def log_of(*pieces: bytes) -> bytes:
    """Return the frames of what was printed."""
    return b"".join(encode(FrameType.OUT, 1, piece) for piece in pieces)


def on_disk(growths: list[Growth]) -> dict[int, bytearray]:
    """Return the part files after all pieces were written where they belong."""
    files: dict[int, bytearray] = {}
    for growth in growths:
        for piece in growth.pieces:
            file = files.setdefault(piece.start, bytearray())
            assert piece.at <= len(file)
            file[piece.at : piece.at + len(piece.data)] = piece.data
    return files


@given(printed=PRINTED, cuts=st.lists(st.integers(0, 12), max_size=4), repeat=st.integers(0, 3))
def test_however_it_is_sent_the_log_is_the_same(
    printed: list[tuple[FrameType, bytes]], cuts: list[int], repeat: int
) -> None:
    """Any way of cutting and repeating gives the same bytes, counts and digest."""
    frames = [encode(kind, 7, data) for kind, data in printed]
    whole = b"".join(frames)
    at_once = grown(OutputLog(), 0, whole)
    assert at_once is not None
    log, growths = OutputLog(), list[Growth]()
    for until in [*sorted(cut for cut in cuts if cut < len(frames)), len(frames)]:
        begin = max(0, until - repeat - 3)
        offset = len(b"".join(frames[:begin]))
        growth = grown(log, min(offset, log.length), whole[min(offset, log.length) :])
        if growth is not None:
            growths.append(growth)
            log = growth.after

    assert replace(log, parts=()) == replace(at_once.after, parts=())
    stored = log.inline or b"".join(on_disk(growths)[part.start] for part in log.parts)
    assert stored == whole
    own = {kind: sum(len(data) for k, data in printed if k is kind) for kind in FrameType}
    assert (log.stdout_bytes, log.stderr_bytes) == (own[FrameType.OUT], own[FrameType.ERR])


def test_small_logs_stay_inline_to_the_byte() -> None:
    """Eight KiB of frames are inline; one byte more is a file with all of it."""
    full = log_of(b"x" * (OUTPUT_INLINE_BYTES - HEAD_BYTES))
    inline = grown(OutputLog(), 0, full)
    assert inline is not None
    assert (inline.after.inline, inline.pieces) == (full, ())

    more = grown(inline.after, len(full), log_of(b""))

    assert more is not None
    assert (more.after.inline, more.after.parts[0].length) == (b"", len(full) + HEAD_BYTES)
    assert more.pieces[0].data == full + log_of(b"")


@pytest.mark.parametrize(("offset", "sent"), [(0, 1), (0, 2), (21, 1), (42, 0), (63, 1)])
def test_nothing_new_is_nothing_to_do(offset: int, sent: int) -> None:
    """What is known, what is empty and what lies behind a gap change nothing."""
    first = grown(OutputLog(), 0, log_of(b"one\n", b"two\n"))
    assert first is not None

    assert grown(first.after, offset, log_of(*[b"xxx\n"] * sent)) is None


def test_what_begins_inside_a_known_frame_is_refused() -> None:
    """An overlap must meet the log at the end of a frame."""
    first = grown(OutputLog(), 0, log_of(b"one\n"))
    assert first is not None

    with pytest.raises(RequestInvalid):
        grown(first.after, 0, log_of(b"three\n", b"four\n"))


def test_parts_hold_whole_frames() -> None:
    """A part is about four MiB long and no frame lies in two of them."""
    block = log_of(*[b"x" * FRAME_DATA_BYTES] * 60)
    log, growths = OutputLog(), list[Growth]()
    for _ in range(4):
        growth = grown(log, log.length, block)
        assert growth is not None
        growths.append(growth)
        log = growth.after

    files = on_disk(growths)
    assert [part.start for part in log.parts] == sorted(files)
    assert all(part.length <= OUTPUT_PART_BYTES for part in log.parts)
    assert all(
        following.start == part.end
        for part, following in zip(log.parts, log.parts[1:], strict=False)
    )
    for part in log.parts:
        assert len(files[part.start]) == part.length
        assert sum(frame.size for frame in decode(bytes(files[part.start]))) == part.length


def _long_log(total: int) -> OutputLog:
    """Return a log of that many own bytes, built without its bytes."""
    log, size = OutputLog(), 3 * MIB
    while log.stdout_bytes < total:
        parts = (*log.parts, Part(log.length, size, size))
        length = log.length + size
        log = replace(log, length=length, stdout_bytes=log.stdout_bytes + size, parts=parts)
    return log


@pytest.mark.parametrize("total", [63 * MIB, 64 * MIB, 66 * MIB, 90 * MIB])
def test_the_cap_drops_the_middle_and_counts_it(total: int) -> None:
    """The first 8 and the last 56 MiB stay, whatever was between is counted, and no more goes."""
    log = _long_log(total)

    growth = grown(log, log.length, log_of(b"x"))

    assert growth is not None
    after = growth.after
    kept = sum(part.own_bytes for part in after.parts)
    assert after.dropped_bytes == after.stdout_bytes - kept
    assert (after.dropped_bytes > 0) == (len(growth.dropped) > 0)
    if after.stdout_bytes <= OUTPUT_CAP_BYTES:
        assert after.dropped_bytes == 0
    if after.dropped_bytes:
        head = [part for part in after.parts if part.end <= after.gap_start]
        tail = [part for part in after.parts if part.start >= after.gap_end]
        assert len(head) + len(tail) == len(after.parts)
        assert sum(part.own_bytes for part in head) >= OUTPUT_HEAD_BYTES
        left = sum(part.own_bytes for part in tail)
        assert left >= OUTPUT_CAP_BYTES - OUTPUT_HEAD_BYTES
        assert left - tail[0].own_bytes < OUTPUT_CAP_BYTES - OUTPUT_HEAD_BYTES


def test_the_gap_grows_in_one_piece() -> None:
    """Later losses continue the gap: head and tail stay two runs without holes."""
    log = _long_log(90 * MIB)
    for _ in range(200):
        growth = grown(log, log.length, log_of(b"x" * (MIB - HEAD_BYTES)))
        assert growth is not None
        log = growth.after

        ends = {part.end for part in log.parts}
        holes = [part.start for part in log.parts[1:] if part.start not in ends]
        assert holes in ([log.gap_end], [])
        assert log.stdout_bytes - log.dropped_bytes <= OUTPUT_CAP_BYTES + 3 * OUTPUT_PART_BYTES


@pytest.mark.parametrize(
    ("stream", "data"),
    [(FrameType.OUT, b"x"), (FrameType.OUT, b""), (FrameType.NOTE, b"x" * 100)],
    ids=["bytes", "empty", "notes"],
)
def test_frames_are_capped_as_well(stream: FrameType, data: bytes) -> None:
    """What is nearly all heads of frames, or all notes, falls out too, and the gap stays exact."""
    count = 3 * MIB // (HEAD_BYTES + len(data))
    batch = encode(stream, 1, data) * count
    size, own = len(batch), len(data) * count * (stream is FrameType.OUT)
    log = OutputLog(parts=(Part(0, 0, 0),))
    for _ in range(3 * OUTPUT_CAP_BYTES // size):
        part = Part(log.length, size, own)
        log = replace(
            log,
            length=log.length + size,
            stdout_bytes=log.stdout_bytes + own,
            parts=(*log.parts, part),
        )

    growth = grown(log, log.length, batch)

    assert growth is not None
    after = growth.after
    stored = sum(part.length for part in after.parts)
    assert stored <= OUTPUT_FRAMES_FACTOR * OUTPUT_CAP_BYTES + 3 * OUTPUT_PART_BYTES
    assert after.length - stored == after.gap_end - after.gap_start > 0
    assert after.dropped_bytes == after.stdout_bytes - sum(part.own_bytes for part in after.parts)
    head = sum(part.length for part in after.parts if part.end <= after.gap_start)
    assert head >= OUTPUT_FRAMES_FACTOR * OUTPUT_HEAD_BYTES
    assert stored - head >= OUTPUT_FRAMES_FACTOR * (OUTPUT_CAP_BYTES - OUTPUT_HEAD_BYTES)
