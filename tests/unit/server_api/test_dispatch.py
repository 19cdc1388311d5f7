"""Who is woken for which work: exactly those that match, and nobody is forgotten."""

from orchestrator.server.facts import (
    Claimable,
    JobChanged,
    RequirementAdded,
    SessionChanged,
    SessionEnded,
    SessionOpened,
)
from orchestrator.server.live.dispatch import Dispatch, Waiter


def awake(waiter: Waiter) -> bool:
    """Tell whether a waiter would return from its sleep at once."""
    return waiter._woken.is_set()


def knowing(**sessions: set[int]) -> Dispatch:
    """Return a dispatch with these open sessions."""
    dispatch = Dispatch()
    dispatch.know({name: frozenset(numbers) for name, numbers in sessions.items()})
    return dispatch


async def test_work_wakes_only_who_satisfies_it() -> None:
    """A job's requirement decides who is woken for it."""
    dispatch = knowing(a={1}, b={2})
    with dispatch.waiter("a", 1) as a, dispatch.waiter("b", 1) as b:
        dispatch.hear([Claimable(2, 1)])

        assert not awake(a)
        assert awake(b)


async def test_work_wakes_no_more_than_it_needs() -> None:
    """Two jobs wake two waiters, the oldest first; who has one already comes after all others."""
    dispatch = knowing(a={1}, b={1}, c={1})
    with (
        dispatch.waiter("a", 2) as a,
        dispatch.waiter("b", 1) as b,
        dispatch.waiter("c", 1) as c,
    ):
        dispatch.hear([Claimable(1, 1), Claimable(1, 1)])
        assert [awake(one) for one in (a, b, c)] == [True, True, False]

        dispatch.hear([Claimable(1, 1)])
        assert awake(c)


async def test_a_crowd_of_jobs_is_spread_over_all_who_are_free() -> None:
    """Each has as many as any other, up to its room; the rest goes to those with more of it."""
    for facts in ([Claimable(1, 9)], [Claimable(1, 1)] * 9, [Claimable(1, 100)]):
        dispatch = knowing(a={1}, b={1}, c={1})
        with (
            dispatch.waiter("a", 4) as a,
            dispatch.waiter("b", 1) as b,
            dispatch.waiter("c", 4) as c,
        ):
            dispatch.hear(facts)

            assert [one.take()[1] for one in (a, b, c)] == [4, 1, 4]


async def test_a_promise_to_who_leaves_goes_to_the_next() -> None:
    """A waiter that was woken and went away without looking leaves its work to another."""
    dispatch = knowing(a={1}, b={1})
    with dispatch.waiter("b", 5) as later:
        dispatch._remove(later)  # to stand behind the one that follows
        with dispatch.waiter("a", 1) as leaving:
            dispatch._enlist(later, {1})
            dispatch.hear([Claimable(1, 1)])
            assert (awake(leaving), awake(later)) == (True, False)

        assert awake(later)


async def test_what_one_could_not_take_is_offered_to_others() -> None:
    """Work that a full worker was woken for, and left lying, wakes the next one."""
    dispatch = knowing(a={1}, b={1})
    with dispatch.waiter("a", 1) as full, dispatch.waiter("b", 1) as other:
        dispatch.hear([Claimable(1, 1)])
        promised = full.take()
        dispatch._remove(full)
        assert not awake(other)

        dispatch.pass_on(promised)

        assert awake(other)


async def test_who_takes_its_promises_can_be_woken_again() -> None:
    """Looking for work spends the promises: what appears meanwhile is a new one."""
    dispatch = knowing(a={1})
    with dispatch.waiter("a", 1) as a:
        dispatch.hear([Claimable(1, 1)])

        assert a.take() == {1: 1}
        assert not awake(a)
        dispatch.hear([Claimable(1, 1)])
        assert awake(a)


async def test_a_new_requirement_reaches_who_waits_already() -> None:
    """A requirement that nobody had before is learned by waiters of fitting sessions."""
    dispatch = knowing(a=set(), b=set())
    with dispatch.waiter("a", 1) as a, dispatch.waiter("b", 1) as b:
        dispatch.hear([RequirementAdded(7, frozenset({"a"})), Claimable(7, 1)])

        assert (awake(a), awake(b)) == (True, False)


async def test_who_offers_something_else_looks_again() -> None:
    """A waiter whose worker's tags changed is woken to look, and then only for what it can do."""
    dispatch = knowing(a={1}, b={2})
    with dispatch.waiter("a", 1) as a, dispatch.waiter("b", 1) as b:
        dispatch.hear([SessionChanged("a", frozenset({2}))])
        assert (awake(a), awake(b)) == (True, False)
        a.take()

        dispatch.hear([Claimable(1, 1)])
        assert not awake(a)
        dispatch.hear([Claimable(2, 2)])
        assert (awake(a), awake(b)) == (True, True)


async def test_sessions_come_and_go() -> None:
    """A session that opens is served; whoever waits in one that ends is woken to learn of it."""
    dispatch = Dispatch()
    dispatch.hear([SessionOpened("a", frozenset({1}))])
    with dispatch.waiter("a", 1) as a:
        dispatch.hear([Claimable(1, 1)])
        assert awake(a)
        a.take()

        dispatch.hear([SessionEnded("a")])
        assert awake(a)

    with dispatch.waiter("a", 1) as late:
        dispatch.hear([Claimable(1, 1)])
        assert not awake(late)


async def test_a_session_that_ends_is_promised_nothing_more() -> None:
    """Work that appears while a waiter of an ended session still leaves goes to another."""
    dispatch = knowing(a={1}, b={1})
    with dispatch.waiter("a", 1) as ended, dispatch.waiter("b", 1) as other:
        dispatch.hear([SessionEnded("a"), Claimable(1, 1)])

        assert (awake(ended), ended.promised.total()) == (True, 0)
        assert awake(other)


async def test_nobody_sleeps_through_the_stop() -> None:
    """When the server stops, every waiter is woken."""
    dispatch = knowing(a={1}, b={2})
    with dispatch.waiter("a", 1) as a, dispatch.waiter("b", 1) as b:
        dispatch.close()

        assert dispatch.is_closing()
        assert [awake(a), awake(b)] == [True, True]


async def test_nothing_is_left_of_who_has_gone() -> None:
    """Places in the queue end with their claims."""
    dispatch = knowing(a={1, 2, 3})
    with dispatch.waiter("a", 1), dispatch.waiter("a", 1):
        pass

    assert dispatch._waiting == {}
    assert dispatch._of_session == {}


async def test_what_is_known_anew_replaces_what_was_heard() -> None:
    """A session that ended unheard is forgotten and its claims look again; so with requirements."""
    dispatch = knowing(a={1, 2}, b={1})
    with dispatch.waiter("a", 1) as a, dispatch.waiter("b", 1) as b:
        dispatch.know({"a": frozenset({2, 3})})
        assert (awake(a), awake(b)) == (False, True)

        dispatch.hear([Claimable(1, 2)])
        assert (a.promised.total(), b.promised.total()) == (0, 0)
        dispatch.hear([Claimable(3, 1)])
        assert a.promised.total() == 1

    with dispatch.waiter("b", 1) as late:
        dispatch.hear([Claimable(1, 1)])
        assert not awake(late)


async def test_whoever_waits_keeps_the_place_when_all_is_known_anew() -> None:
    """The longest waiting is still the first."""
    dispatch = knowing(a={1}, b={1})
    with dispatch.waiter("b", 1) as first, dispatch.waiter("a", 1) as second:
        dispatch.know({"a": frozenset({1}), "b": frozenset({1})})
        dispatch.hear([Claimable(1, 1)])

        assert (awake(first), awake(second)) == (True, False)


async def test_who_waits_for_one_job_is_woken_for_that_alone() -> None:
    """Other work is promised to others, also when it was there before them."""
    dispatch = knowing(a={1}, b={1})
    with dispatch.waiter("a", 1, "job_a") as wishing, dispatch.waiter("b", 1) as other:
        dispatch.hear([Claimable(1, 1), JobChanged("job_b")])
        assert (awake(wishing), awake(other)) == (False, True)
        assert not wishing.promised

        dispatch.hear([JobChanged("job_a")])
        assert awake(wishing)

        wishing.take()
        dispatch.hear([SessionEnded("a")])
        assert awake(wishing)
    assert not dispatch._wishing


async def test_nothing_is_promised_to_who_may_not_have_it() -> None:
    """A worker in quarantine is woken to look, and what it was promised before is another one's."""
    dispatch = knowing(a={1}, b={1})
    with dispatch.waiter("a", 1) as kept_out, dispatch.waiter("b", 1) as other:
        dispatch.hear([Claimable(1, 1)])
        assert (awake(kept_out), awake(other)) == (True, False)
        dispatch.restrict(kept_out, restricted=True)
        assert awake(other)
        for waiter in (kept_out, other):
            waiter.take()

        dispatch.hear([Claimable(1, 1)])
        assert (awake(kept_out), awake(other)) == (True, True)
        assert (kept_out.take().total(), other.take().total()) == (0, 1)

        dispatch.restrict(kept_out, restricted=False)
        dispatch.hear([Claimable(1, 1)])
        assert (awake(kept_out), awake(other)) == (True, False)
