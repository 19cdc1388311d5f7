"""Shrinking keeps what is needed, and throws away the rest."""

from tests.simulation.seed import Options
from tests.simulation.shrink import shrunk

LARGE = Options(
    seed=7,
    kinds=tuple((kind, 10.0) for kind in ("a", "b", "c", "d", "e")),
    jobs=16,
    horizon=120.0,
    hosts=((2,), (1, 2)),
    rotate_bytes=600,
)


def test_only_what_is_needed_is_left() -> None:
    """Whatever does not matter goes: here two kinds of faults and three jobs do."""

    def fails(options: Options) -> bool:
        kinds = {kind for kind, _ in options.kinds}
        return {"b", "e"} <= kinds and options.jobs >= 3

    smallest = shrunk(LARGE, fails)

    assert {kind for kind, _ in smallest.kinds} == {"b", "e"}
    assert smallest.jobs == 3
    assert smallest.hosts == ((1,),)
    assert smallest.horizon <= 10
    assert smallest.seed == LARGE.seed


def test_what_cannot_be_smaller_is_left_alone() -> None:
    """A failure that needs all of it is told with all of it."""
    assert shrunk(LARGE, lambda options: options == LARGE) == LARGE
