"""How long to wait before the next try."""

import pytest

from orchestrator.kernel.backoff import Backoff
from orchestrator.kernel.errors import InvariantViolated


@pytest.mark.parametrize(
    ("failures", "ceiling"), [(1, 1.0), (2, 2.0), (3, 4.0), (6, 32.0), (7, 60.0), (10_000, 60.0)]
)
def test_the_ceiling_doubles_up_to_its_end(failures: int, ceiling: float) -> None:
    """Each failure in a row doubles the longest wait, up to a minute, and never overflows."""
    assert Backoff().ceiling(failures) == ceiling


def test_the_wait_is_drawn_below_the_ceiling() -> None:
    """Those who failed together do not come back together."""
    backoff = Backoff()

    assert backoff.delay(3, draw=0.0) == 0.0
    assert backoff.delay(3, draw=0.5) == 2.0
    assert backoff.delay(3, draw=0.999) < 4.0


def test_without_a_failure_there_is_nothing_to_wait_for() -> None:
    """Asking then is a mistake of ours."""
    with pytest.raises(InvariantViolated):
        Backoff().ceiling(0)
