"""Stacks: of whatever there is, also where there is no event loop."""

import os
import signal
import threading

import anyio

from orchestrator.kernel.stacks import stacks
from tests.support.processes import program, python

STANDS_STILL = """
import asyncio
from orchestrator.kernel import logs, stacks

async def stand_still():
    print("still", flush=True)
    while True:
        pass

logs.set_up()
stacks.log_on_signal()
asyncio.run(stand_still())
"""


def test_a_thread_is_shown_by_its_name() -> None:
    """With the place where it is, and without a loop."""
    go_on = threading.Event()
    thread = threading.Thread(target=go_on.wait, name="a-thread-that-waits")
    thread.start()
    try:
        text = stacks()
    finally:
        go_on.set()
        thread.join()

    assert "thread a-thread-that-waits\n" in text
    assert "thread MainThread\n" in text
    assert "test_stacks.py" in text
    assert "task " not in text


async def test_a_task_is_shown_by_its_name() -> None:
    """With the line that it waits at."""

    async def waits() -> None:
        await anyio.sleep_forever()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(waits, name="a-task-that-waits")
        await anyio.wait_all_tasks_blocked()
        text = stacks()
        tasks.cancel_scope.cancel()

    assert "task a-task-that-waits\n" in text
    assert "sleep_forever" in text


def test_a_loop_that_stands_still_is_shown() -> None:
    """It is what somebody most wants to see, and answers no call any more."""
    with program(*python("-c", STANDS_STILL)) as standing:
        standing.wait_for("still")

        os.kill(standing.pid, signal.SIGUSR1)

        standing.wait_for("in stand_still")
        assert standing.returncode is None
