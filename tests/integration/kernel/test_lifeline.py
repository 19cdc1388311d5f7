"""The line between parent and child, over real sockets."""

import anyio
import pytest

from orchestrator.kernel.errors import PeerBroken
from orchestrator.kernel.lifeline import Lifeline, ParentEnd, pair
from orchestrator.kernel.packets import Message


def _connected() -> tuple[ParentEnd, Lifeline]:
    parent, passed = pair()
    return parent, Lifeline.from_fd(passed.detach())


async def test_orders_go_down_and_news_come_up() -> None:
    """Messages arrive whole and in order, both ways."""
    parent, child = _connected()

    await parent.tell({"do": "drain"})
    await parent.tell({"do": "stop"})
    await child.tell({"state": "ready", "url": "http://127.0.0.1:8700"})
    orders, news = child.orders(), parent.news()

    assert [await anext(orders), await anext(orders)] == [{"do": "drain"}, {"do": "stop"}]
    assert await anext(news) == {"state": "ready", "url": "http://127.0.0.1:8700"}
    parent.close()
    child.close()


async def test_the_end_of_one_is_heard_by_the_other() -> None:
    """What was said before is still read; then it ends."""
    parent, child = _connected()
    await parent.tell({"do": "stop"})

    parent.close()

    assert [order async for order in child.orders()] == [{"do": "stop"}]
    child.close()


async def test_an_end_with_unread_messages_is_an_end() -> None:
    """A peer that died without reading is gone like any other."""
    parent, child = _connected()
    await child.tell({"state": "ready"})

    parent.close()

    assert [order async for order in child.orders()] == []
    child.close()


async def test_telling_one_who_is_gone_does_nothing() -> None:
    """Who cares learns it by reading."""
    parent, child = _connected()
    child.close()

    await parent.tell({"do": "drain"})

    assert [news async for news in parent.news()] == []
    parent.close()


async def test_closing_ends_ones_own_reading() -> None:
    """A task that reads does not wait for ever on what was closed beside it."""
    parent, child = _connected()
    heard: list[Message] = []

    async def read() -> None:
        heard.extend([news async for news in parent.news()])

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(read)
            await anyio.wait_all_tasks_blocked()
            parent.close()

    assert heard == []
    parent.close()
    child.close()


async def test_a_message_waits_until_there_is_room() -> None:
    """A slow reader gets every message; the teller waits meanwhile."""
    parent, child = _connected()
    count = 1000

    async def tell_all() -> None:
        for number in range(count):
            await parent.tell({"number": number})
        parent.close()

    async with anyio.create_task_group() as group:
        group.start_soon(tell_all)
        await anyio.wait_all_tasks_blocked()
        heard = [order["number"] async for order in child.orders()]

    assert heard == list(range(count))
    child.close()


@pytest.mark.parametrize("nonsense", [b"not json", b"[]"])
async def test_nonsense_is_the_peers_fault(nonsense: bytes) -> None:
    """What is no message is not passed over in silence."""
    parent, passed = pair()

    passed.send(nonsense)

    with pytest.raises(PeerBroken, match="not a message"):
        await anext(parent.news())
    passed.close()
    parent.close()
