"""The deadlines of an attempt, hour by hour in no time."""

import math

import pytest

from worker.records import Cause
from worker.shim.watch import DRAIN_S, Watch

FOREVER = 1e9


def watch(
    *, timeout_s: float | None = None, silence_s: float | None = None, grace_s: float = 10.0
) -> Watch:
    """Return a watch that began at 100."""
    return Watch(100.0, timeout_s=timeout_s, silence_s=silence_s, grace_s=grace_s)


def is_over(it: Watch, now: float, *, pipes_open: bool = True, group_alive: bool = True) -> bool:
    """Ask it with the world as it is most of the time."""
    return it.is_over(now, pipes_open=pipes_open, group_alive=lambda: group_alive)


def test_without_deadlines_nothing_happens_by_itself() -> None:
    """A command without timeouts may run for ever."""
    it = watch()

    assert it.overdue(FOREVER) is None
    assert not is_over(it, FOREVER, pipes_open=False, group_alive=False)
    assert it.wake_at() == math.inf


@pytest.mark.parametrize(
    ("timeout_s", "silence_s", "now", "cause"),
    [
        (30, None, 129.9, None),
        (30, None, 130.0, Cause.TIMEOUT_RUN),
        (None, 5, 104.9, None),
        (None, 5, 105.0, Cause.TIMEOUT_SILENCE),
        (30, 5, 130.0, Cause.TIMEOUT_RUN),
        (30, 5, 105.0, Cause.TIMEOUT_SILENCE),
        (0, None, 100.0, Cause.TIMEOUT_RUN),
    ],
)
def test_a_timeout_is_due_at_its_moment(
    timeout_s: float | None, silence_s: float | None, now: float, cause: Cause | None
) -> None:
    """Not before, and the run timeout is named first when both are over."""
    assert watch(timeout_s=timeout_s, silence_s=silence_s).overdue(now) is cause


def test_words_postpone_silence_and_not_the_end() -> None:
    """Each word begins the silence anew; the time to run is not bought with words."""
    it = watch(timeout_s=30, silence_s=5)

    it.heard(104.0)
    assert it.overdue(108.9) is None
    assert it.wake_at() == 109.0
    it.heard(127.0)

    assert it.overdue(130.0) is Cause.TIMEOUT_RUN


def test_a_stop_gives_its_grace() -> None:
    """The first stop sends the signal; when the grace is over everybody is killed."""
    it = watch(grace_s=10)

    assert it.stop(Cause.CANCELLED, 150.0)

    assert it.wake_at() == 160.0
    assert not is_over(it, 159.9)
    assert is_over(it, 160.0)


def test_a_second_stop_only_shortens_the_grace() -> None:
    """It sends no second signal, does not change the cause, and never buys time."""
    it = watch(grace_s=10)
    it.stop(Cause.CANCELLED, 150.0)

    assert not it.stop(Cause.PREEMPTED, 151.0, 100.0)
    assert it.wake_at() == 160.0
    assert not it.stop(Cause.PREEMPTED, 152.0, 1.0)

    assert it.wake_at() == 153.0
    assert it.cause is Cause.CANCELLED


def test_a_stopped_command_has_no_timeouts() -> None:
    """What is being ended is not ended for a second reason."""
    it = watch(timeout_s=30, silence_s=5)
    it.stop(Cause.CANCELLED, 101.0)

    assert it.overdue(FOREVER) is None


def test_an_end_is_over_when_its_pipes_are_closed() -> None:
    """Nobody can say anything any more, so nobody is waited for."""
    it = watch(timeout_s=30)
    it.end(120.0)

    assert is_over(it, 120.0, pipes_open=False)
    assert it.overdue(FOREVER) is None


def test_who_holds_the_pipes_is_heard_for_a_while() -> None:
    """After the command's end its output may go on for two seconds."""
    it = watch()
    it.end(120.0)

    assert it.wake_at() == 120.0 + DRAIN_S
    assert not is_over(it, 120.0 + DRAIN_S - 0.1)
    assert is_over(it, 120.0 + DRAIN_S)


def test_a_stop_after_the_end_only_ends_the_listening() -> None:
    """What has ended by itself keeps that as its cause."""
    it = watch()
    it.end(120.0)

    assert not it.stop(Cause.CANCELLED, 121.0)

    assert is_over(it, 121.0)
    assert it.cause is None


def test_the_group_of_a_stopped_command_keeps_the_grace() -> None:
    """Whoever was told to end may tidy up, though the command itself is gone; nobody else may."""
    it = watch(grace_s=10)
    it.stop(Cause.TIMEOUT_RUN, 150.0)
    it.end(150.1)

    assert not is_over(it, 159.9, pipes_open=False, group_alive=True)
    assert it.wake_at() == 160.0
    assert is_over(it, 160.0, pipes_open=False, group_alive=True)
    assert is_over(it, 150.2, pipes_open=True, group_alive=False)
