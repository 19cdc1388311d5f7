"""Waiting for something to have changed."""

import anyio

from orchestrator.kernel.bell import Bell


async def test_who_waits_looks_again_at_each_ring() -> None:
    """Rings that change nothing are slept through, and the right one wakes everybody."""
    bell, ready, woken = Bell(), [False], []

    async def wait(name: str) -> None:
        await bell.until(lambda: ready[0])
        woken.append(name)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait, "first")
        tasks.start_soon(wait, "second")
        await anyio.wait_all_tasks_blocked()
        bell.ring()
        await anyio.wait_all_tasks_blocked()
        assert woken == []
        ready[0] = True
        bell.ring()

    assert sorted(woken) == ["first", "second"]


async def test_what_is_true_already_is_not_waited_for() -> None:
    """Nobody has to ring."""
    with anyio.fail_after(1):
        await Bell().until(lambda: True)


async def test_waiting_ends_at_its_deadline() -> None:
    """Whether anything has changed by then is for the caller to see."""
    with anyio.fail_after(1):
        await Bell().until(lambda: False, deadline=anyio.current_time())
