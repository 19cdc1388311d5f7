"""What is kept of output that is more than a worker keeps: its beginning and its end."""

import pytest

from orchestrator.protocol.frames import FrameType
from worker.shim.ration import Ration, in_words

OUT, ERR, NOTE = FrameType.OUT, FrameType.ERR, FrameType.NOTE


@pytest.mark.parametrize("step", [1, 7, 100, 1000])
def test_beginning_and_end_are_kept_and_the_rest_is_counted(step: int) -> None:
    """However it comes, what is missing is exactly what is counted."""
    said = bytes(index % 251 for index in range(1000))
    ration = Ration(400)

    begin = b"".join(ration.admit(OUT, said[at : at + step]) for at in range(0, 1000, step))
    note, *pieces = ration.rest()

    end = b"".join(data for _, data in pieces)
    assert (begin, end) == (said[:300], said[-100:])
    assert ration.dropped == 600
    assert note[0] is NOTE
    assert b"600 bytes" in note[1]


def test_what_fits_is_kept_whole_and_in_order() -> None:
    """Two streams, and nothing is said about it."""
    ration = Ration(8)

    assert ration.admit(OUT, b"abc") == b"abc"
    assert ration.admit(ERR, b"defg") == b"def"
    assert ration.admit(OUT, b"h") == b""

    assert ration.rest() == [(ERR, b"g"), (OUT, b"h")]
    assert ration.dropped == 0


@pytest.mark.parametrize(
    ("size", "words"),
    [(5, "5 bytes"), (2048, "2.0 KiB"), (3 * 2**20, "3.0 MiB"), (int(2.1 * 2**30), "2.1 GiB")],
)
def test_sizes_are_said_as_people_do(size: int, words: str) -> None:
    """In the largest unit of which there is one."""
    assert in_words(size) == words
