"""How a worker stands, out of everything that may be the matter at once."""

import pytest

from worker.logic.standing import Facts, Matter, StandingState, skew_of, standing

S = StandingState
WHY = Matter("why", "what to do")
ALL = Facts(
    in_session=True,
    rival=WHY,
    unreached=WHY,
    draining=True,
    paused=WHY,
    unproven=WHY,
    short=WHY,
    put_off=WHY,
    running=1,
)
ORDER = [
    ("rival", S.SUPERSEDED),
    ("unreached", S.CONNECTING),
    ("draining", S.DRAINING),
    ("paused", S.PAUSED),
    ("unproven", S.SUSPECT),
    ("short", S.HELD),
    ("put_off", S.HELD),
    ("running", S.BUSY),
]


def _without(*names: str) -> Facts:
    given = {name: getattr(ALL, name) for name, _ in ORDER if name not in names}
    return Facts(in_session=True, **given)


@pytest.mark.parametrize("place", range(len(ORDER)))
def test_the_gravest_matter_is_told(place: int) -> None:
    """Each hides all that follow it."""
    facts = _without(*(name for name, _ in ORDER[:place]))

    state, matter = standing(facts)

    assert state is ORDER[place][1]
    assert matter == (Matter() if state in {S.DRAINING, S.BUSY} else WHY)


def test_nothing_the_matter_is_ready() -> None:
    """It waits for work."""
    assert standing(Facts(in_session=True)) == (S.READY, Matter())


def test_without_a_session_it_connects() -> None:
    """Also before anybody knows why there is none."""
    assert standing(Facts()) == (S.CONNECTING, Matter())


@pytest.mark.parametrize(
    ("skew_s", "words"),
    [
        (61.0, "the clock is 61 s ahead of the server's"),
        (-1020.0, "the clock is 17 min behind the server's"),
        (7200.0, "the clock is 2 h ahead of the server's"),
        (3e6, "the clock is 35 d ahead of the server's"),
    ],
)
def test_a_wrong_clock_is_told_with_the_amount(skew_s: float, words: str) -> None:
    """It hides nothing, and holds nobody."""
    state, matter = standing(Facts(in_session=True, skew_s=skew_s))

    assert (state, matter.reason) == (S.READY, words)
    assert matter.hint


@pytest.mark.parametrize(
    ("said", "skew"),
    [(105.0, None), (95.0, None), (155.0, None), (170.5, -60.5), (39.0, 61.0), (41.0, None)],
)
def test_the_least_difference_counts(said: float, skew: float | None) -> None:
    """A question that waits long for its answer shows no wrong clock by that."""
    assert skew_of(sent=100.0, said=said, received=110.0) == skew
