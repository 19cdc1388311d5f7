"""Names of segments: who has one of a shim's can find them all."""

import pytest

from worker.shim import layout


def test_a_shims_segments_are_counted() -> None:
    """Each is followed by the one with the next number, whatever the shim is called."""
    first = layout.first_name("0a-b1")

    assert first.startswith(layout.PREFIX)
    assert layout.successor(first) == "seg-0a-b1-1"
    assert layout.successor("seg-0a-b1-9") == "seg-0a-b1-10"


@pytest.mark.parametrize("name", [layout.first_name("00ff"), "seg-00ff-12"])
def test_an_unfinished_segment_is_not_taken_for_one(name: str) -> None:
    """What is still being made has a name that no search for segments finds."""
    assert not (layout.NEW_PREFIX + name).startswith(layout.PREFIX)


def test_an_end_is_announced_for_one_attempt() -> None:
    """The bell of an attempt's end is no other attempt's, and not the ordinary bell."""
    bells = {layout.ended_bell(job, n) for job in ("job_a", "job_b") for n in (1, 2)}

    assert len(bells) == 4
    assert layout.BELL not in bells
