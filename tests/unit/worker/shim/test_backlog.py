"""What waits for the server: every segment but the one that a living shim writes."""

import json
import os
from pathlib import Path

from orchestrator.kernel import linux
from orchestrator.protocol.frames import FrameType, encode
from worker.shim import layout
from worker.shim.backlog import waiting_bytes


def _segment(folder: Path, name: str, **changed: object) -> int:
    """Write a segment that this process began, or another one that is `changed`; its length."""
    me = {"pid": os.getpid(), "start_time": linux.start_time(os.getpid())}
    header = {"format": layout.FORMAT, "boot_id": linux.boot_id(), **me, **changed}
    data = encode(FrameType.HEADER, 0, json.dumps(header).encode()) + bytes(1000)
    (folder / name).write_bytes(data)
    return len(data)


def test_one_segment_of_each_living_shim_counts_for_nothing(tmp_path: Path) -> None:
    """It goes on in it whatever the server has; those that it has left wait, gaps or not."""
    left = [_segment(tmp_path, name) for name in ("seg-aa-9", "seg-aa-11", "seg-b-b-0")]
    for name in ("seg-aa-12", "seg-b-b-1", "seg-cc-0"):
        _segment(tmp_path, name)
    (tmp_path / ".new-seg-aa-13").write_bytes(bytes(1000))
    (tmp_path / "ledger").write_bytes(bytes(1000))

    assert waiting_bytes(tmp_path) == sum(left)


def test_what_a_dead_shim_has_left_waits(tmp_path: Path) -> None:
    """Whoever has its pid now did not write it; nor did anybody of this boot; or it is cut."""
    now = linux.start_time(os.getpid()) or 0
    sizes = [
        _segment(tmp_path, "seg-aa-0", start_time=now + 1),
        _segment(tmp_path, "seg-bb-0", boot_id="another"),
    ]
    (tmp_path / "seg-cc-0").write_bytes(b"cut")

    assert waiting_bytes(tmp_path) == sum(sizes) + 3
