"""Watches: raised by news of their topic, lowered by looking, and never too late."""

import anyio

from orchestrator.server.facts import (
    Claimable,
    JobChanged,
    KeysChanged,
    NewsLost,
    OrderPending,
    OutputGrew,
)
from orchestrator.server.live.bus import KEYS, Bus, output_of


async def test_news_raise_the_watches_of_their_topic() -> None:
    """Facts about a job, a session or credentials wake those who watch just that."""
    bus = Bus()
    with (
        bus.watch("job", output_of("job")) as job,
        bus.watch("session") as session,
        bus.watch(KEYS) as keys,
    ):
        bus.hear([JobChanged("job"), Claimable(1, 1)])
        assert [await w.changed(timeout_s=0) for w in (job, session, keys)] == [True, False, False]

        bus.hear([OutputGrew("job", 1), OrderPending("session"), KeysChanged()])
        assert [await w.changed(timeout_s=0) for w in (job, session, keys)] == [True, True, True]


async def test_output_is_no_news_of_the_job() -> None:
    """Whoever waits for a job's end is not woken by each line that it prints."""
    bus = Bus()
    with bus.watch("job") as watch:
        bus.hear([OutputGrew("job", 1)])

        assert not await watch.changed(timeout_s=0)


async def test_news_before_the_wait_are_not_lost() -> None:
    """What happened between a look and the wait for more ends that wait at once."""
    bus = Bus()
    with bus.watch(output_of("job")) as watch:
        bus.hear([OutputGrew("job", 1), OutputGrew("job", 1)])

        assert await watch.changed(timeout_s=60)
        assert not await watch.changed(timeout_s=0)


async def test_a_wait_ends_with_its_news() -> None:
    """Whoever waits is woken by what happens then."""
    bus = Bus()
    with anyio.fail_after(5):
        with bus.watch("job", KEYS) as watch:
            async with anyio.create_task_group() as group:
                group.start_soon(lambda: watch.changed(timeout_s=60))
                await anyio.lowlevel.checkpoint()
                bus.hear([KeysChanged()])


async def test_lost_news_wake_everybody() -> None:
    """Who knows that something was missed looks again, whatever it was."""
    bus = Bus()
    with bus.watch("a") as one, bus.watch("b") as two:
        bus.hear([NewsLost()])

        assert [await one.changed(timeout_s=60), await two.changed(timeout_s=60)] == [True, True]
        assert not bus.is_closing()


async def test_closing_wakes_everybody_for_good() -> None:
    """When the server stops, every watch is raised and nobody needs to begin to wait."""
    bus = Bus()
    with bus.watch("a") as one, bus.watch("b") as two:
        bus.close()

        assert bus.is_closing()
        assert [await one.changed(timeout_s=60), await two.changed(timeout_s=60)] == [True, True]


def test_nothing_is_left_of_who_has_gone() -> None:
    """Watches end with their blocks."""
    bus = Bus()
    with bus.watch("a", "b"), bus.watch("a"):
        pass

    assert bus._watches == {}
