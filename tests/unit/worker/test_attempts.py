"""How many attempts a worker may still take."""

from typing import Any

from orchestrator.kernel.bell import Bell
from worker.attempts import Attempts, Quota
from worker.capacity import Capacity
from worker.logic.attempt import Key

NOBODY: Any = None


def test_who_may_take_only_so_many_asks_for_no_more() -> None:
    """Also while what it took is only being made ready, and however many slots are free."""
    attempts = Attempts(NOBODY, NOBODY, Capacity(4, lambda: 0.0), Bell(), Quota(2))
    assert attempts.free == 2

    attempts._occupied.add(Key("job_a", 1))
    assert attempts.free == 1
    attempts._begun.add(Key("job_a", 1))
    assert attempts.free == 1

    attempts._occupied.clear()
    attempts._occupied.add(Key("job_b", 1))
    assert attempts.free == 0

    unbounded = Attempts(NOBODY, NOBODY, Capacity(4, lambda: 0.0), Bell(), Quota())
    assert unbounded.free == 4
