"""A machine that refuses a shim is asked again: later and later, and never for all at once."""

from pathlib import Path

import anyio
import pytest

from orchestrator.kernel.errors import LaunchFailed
from worker.capacity import Capacity, Disk

STEP_S = 0.25


def _pause(capacity: Capacity, clock: list[float], few: int) -> float:
    """Let time pass until one more than those few may be tried; return how long that took."""
    began = clock[0]
    while capacity.now == few:
        clock[0] += STEP_S
        assert clock[0] - began < 120
    assert capacity.now == few + 1
    return clock[0] - began


def test_each_refusal_makes_the_next_try_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to a minute; a try that succeeds begins anew."""
    clock = [1000.0]
    monkeypatch.setattr(anyio, "current_time", lambda: clock[0])
    capacity = Capacity(8, draw=lambda: 0.5)
    assert capacity.now == 8

    pauses = []
    for _ in range(9):
        capacity.refused(LaunchFailed("no room"), 2)
        pauses.append(_pause(capacity, clock, 2))

    assert pauses[0] > 0
    assert pauses[:4] == sorted(set(pauses[:4]))
    assert 20 < max(pauses) <= 61
    capacity.granted(3)
    assert capacity.now == 7
    capacity.refused(LaunchFailed("no room"), 3)
    assert _pause(capacity, clock, 3) <= pauses[0]


def test_room_is_made_for_as_long_as_there_is_too_little(tmp_path: Path) -> None:
    """What runs while a disk is full leaves something behind, and nobody else would remove it."""
    capacity = Capacity(2, draw=lambda: 0.5, disk=Disk(tmp_path, min_free_bytes=1 << 60))
    asked = []

    def make_room() -> int:
        asked.append(capacity.shortage)
        return 0

    capacity.make_room = make_room

    for _ in range(3):
        capacity.look()

    assert capacity.now == 0
    assert len(asked) == 3
